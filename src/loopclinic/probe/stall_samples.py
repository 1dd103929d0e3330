"""Stack samples and thread times of one iteration, taken while it lasts too long."""

from collections import Counter
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from loopclinic.probe.schedule import Times
from loopclinic.probe.stack import Place, Sample

if TYPE_CHECKING:
    from loopclinic.probe.census import Waiting

_PACE = 0.01  # seconds between samples of a young stall
_TAIL = 0.15  # seconds that may pass until a call that keeps the GIL is looked at again
_LONG = 1000  # of a long one, samples until now
COMPUTES = 0.25  # share of the time at work, or waiting for a processor, that is no mere waiting
_PATIENT = 8  # times as long for a processor as it runs: who waits longer has slept in between
_INSTANT = 1e-4  # seconds
_VARIED = 3  # innermost lines seen: where a thread's state can't be had, so many mean that it runs
_MANY = 10  # callbacks in one iteration that can be a burst
_ENOUGH = 2  # samples that tell a burst from one long callback


class GilHold(NamedTuple):
    """A call of another thread that kept the GIL, seen from `since` to `until`."""

    sample: Sample
    thread: str
    """Its name, empty where the thread has ended since."""
    since: float
    until: float


class Point(NamedTuple):
    """One stack, read at `at`, and for how many seconds until then the thread surely was at its line."""

    at: float
    held: float
    sample: Sample
    exact: bool = False
    """Read while the GIL was held, and not as soon as it was free again."""
    thread: bool = False
    """It is another thread's, which kept the GIL."""


class Spent(NamedTuple):
    """Where one iteration's time went, in seconds: by line, and by callback with its task's name."""

    lines: dict[Place, float]
    callbacks: dict[tuple[Place | None, str | None], float]


class StallSamples:
    """The samples of one iteration, and the time that is booked to the place of each."""

    __slots__ = (
        *("_at", "_before", "_longest", "_pace", "_places", "_points", "_run", "_stacks", "_unit"),
        *("_work", "_worked", "began", "callbacks", "called", "counted", "ended", "gil_held"),
        *("gil_likely", "kept", "last", "seen", "waiting"),
    )

    def __init__(
        self, began: float, pace: float = _PACE, before: tuple[Times, float] | None = None
    ) -> None:
        self.began = began
        # The thread's times shortly before it began, and how much may have come since.
        self._before = before
        self._pace = pace
        self.ended = inf
        self.called = inf
        """When it was first seen in a callback."""
        self.gil_held = False
        self.gil_likely = False
        """Held, or this machine too busy to look: told by whether the loop's thread computed."""
        self.kept: GilHold | None = None
        self.callbacks: int | None = None
        """How many callbacks the iteration has to run, where the loop's own frame tells."""
        self.waiting: Waiting | None = None
        """Which tasks it kept waiting when it was last looked at for that."""
        self.counted = 0.0
        """How long it had lasted by then."""
        self.seen = 0
        """Samples taken."""
        self.last = began
        """When the latest sample was taken."""
        self._points: list[Point] = []
        self._stacks: dict[tuple[Place, ...], tuple[Place, ...]] = {}
        self._places: set[tuple[str, int, str]] = set()
        self._work: tuple[float, Times] | None = None
        self._worked: tuple[float, Times] | None = None
        self._unit: int | str = 0  # the callback at work: its number, else its task
        self._at = began
        self._run = self._longest = 0.0

    def add(
        self,
        found: Sample,
        now: float,
        *,
        bare: bool = False,
        held: float = 0.0,
        exact: bool = False,
    ) -> None:
        """Add a sample that was taken at `now`.

        Args:
            found: the stack.
            now: when it was read.
            bare: the loop ran no callback that shows.
            held: for how many seconds before `now` the GIL could not be had.
            exact: it was read from outside, while the GIL could not be had.
        """
        if not bare:
            self.called = min(self.called, now)
        # Thousands of samples of one long stall are few stacks.
        frames = self._stacks.setdefault(found.frames, found.frames)
        found = found._replace(frames=frames)
        self._points.append(Point(now, held, found, exact=exact))
        self.seen += 1
        if len(self._places) < _VARIED:
            self._places.add(found.frames[-1])
        if now > self.last:
            self._count(found, now)
            self.last = now

    def not_held(self) -> None:
        """Record that it was no held GIL that delayed the latest sample."""
        self._points[-1] = self._points[-1]._replace(held=0.0)

    def add_hold(self, kept: GilHold) -> None:
        """Record a call of another thread that kept the GIL."""
        held = kept.until - max(kept.since, self.began)
        self._points.append(Point(kept.until, held, kept.sample, exact=True, thread=True))
        since = self.kept.since if self.kept is not None else kept.since
        self.kept = kept._replace(since=since)
        self.called = min(self.called, kept.until)
        self.last = max(self.last, kept.until)

    def continues(self, kept: GilHold) -> bool:
        """Return whether this hold began when the recorded one did."""
        return self.kept is not None and abs(self.kept.since - kept.since) < _INSTANT

    def work(self, now: float, work: Times | None) -> None:
        """Record the scheduler's totals of the loop's thread, read at `now`."""
        # What the thread did after it had ended is no part of it.
        if work is not None and (self._worked is None or now <= self.ended):
            self._work = self._work or (now, work)
            self._worked = (now, work)

    def _count(self, found: Sample, now: float) -> None:
        """Share the time since the last sample among the callbacks that have run in it."""
        unit: int | str
        if found.callback is not None:
            unit, self.callbacks = found.callback
            before = self._unit if isinstance(self._unit, int) else 0
            passed = max(0, unit - before)
        else:
            unit = found.task or ""
            passed = int(unit != self._unit)
        share = (now - self._at) / (passed + 1)
        self._run = share if passed else self._run + share
        self._longest = max(self._longest, self._run)
        self._unit, self._at = unit, now

    @property
    def due(self) -> float:
        """When the next sample is to be taken: more rarely once the stall is many seconds long."""
        return self.last + self._every(self.last)

    def _every(self, at: float) -> float:
        return max(self._pace, (at - self.began) / _LONG)

    def first_seen(self, began: float) -> float | None:
        """Return how long after `began` the first sample was taken, None if there is none since."""
        return min((point.at - began for point in self._points if point.at >= began), default=None)

    def _since(self, began: float) -> list[Point]:
        """Return the points since `began` in order.

        From outside a callback that is over, and frees its values, has no frame: the stack that was read
        within as soon as the GIL was free has its line. What keeps the GIL after something else did, without
        a release in between, has kept it only since it was seen.
        """
        points = sorted(
            (one for one in self._points if one.at >= began), key=lambda point: point.at
        )
        since = -inf
        for index, (before, point) in enumerate(pairwise(points[:]), start=1):
            if not (before.exact and point.exact and point.at - point.held < before.at):
                since = -inf
            elif before.sample.place != point.sample.place:
                since = point.at
            points[index] = point._replace(held=min(point.held, point.at - since))
        after: Point | None = None
        for index in range(len(points) - 1, -1, -1):
            point = points[index]
            if not point.exact:
                after = point
            elif after and after.at - after.held < point.at and point.sample.in_handle:
                points[index] = point._replace(sample=after.sample)
        return points

    def worst(self, began: float) -> Sample | None:
        """Return a sample of the line where most of the time since `began` went: its commonest stack."""
        own: dict[Place, list[Sample]] = {}
        for point in self._since(began):
            if not point.thread:
                own.setdefault(point.sample.place, []).append(point.sample)
        if not own:
            return None
        lines = self.spent(began, self.last).lines
        found = own[max(own, key=lambda place: lines.get(place, 0.0))]
        latest = {(id(one.frames), one.call): one for one in found}
        often = Counter((id(one.frames), one.call) for one in reversed(found))
        return latest[often.most_common(1)[0][0]]

    def holds(self, place: Place, began: float, *, exact: bool = False) -> tuple[float, float]:
        """Return for how many seconds the GIL was kept at a line, in all and at most at a time.

        With `exact` only where that was seen from outside.
        """
        total = longest = 0.0
        since = until = began
        held = (one for one in self._since(-inf) if one.held > 0 and not one.thread)
        for point in (one for one in held if one.sample.place == place and one.exact >= exact):
            if point.at - point.held >= until:  # else it is the same one, seen again
                since = point.at - point.held
            total += point.at - max(until, since)
            until = point.at
            longest = max(longest, until - since)
        return total, longest

    def spent(self, began: float, ended: float) -> Spent:
        """Return where the time from `began` to `ended` went.

        What lies between two samples at different lines is halved between them; what lies after the
        last one, and cannot be told, is nobody's.
        """
        spent = Spent({}, {})
        entered: dict[int, Place | None] = {}  # of each stack once: this runs on the loop's thread

        def book(point: Point, seconds: float) -> None:
            if seconds > 0:
                place, stack = point.sample.place, id(point.sample.frames)
                if stack not in entered:
                    entered[stack] = point.sample.entered
                callback = entered[stack], point.sample.task
                spent.lines[place] = spent.lines.get(place, 0.0) + seconds
                if not point.thread:
                    spent.callbacks[callback] = spent.callbacks.get(callback, 0.0) + seconds

        before: Point | None = None
        at = began
        for read in self._since(began):
            if read.at > ended and before is not None:
                break
            point = read
            if before is not None and before.exact and read.at - read.held < before.at:
                # Seen from outside within one and the same hold: that stack is the true one.
                point = before._replace(at=read.at, held=read.held)
            surely = max(at, min(point.at, ended) - point.held)
            gap = surely - at
            if before is not None:
                book(before, gap / 2)
                gap /= 2
            book(point, gap + min(point.at, ended) - surely)
            before, at = point, max(at, min(point.at, ended))
        if before is not None:
            # A call that keeps the GIL is looked at ever more rarely from outside.
            longest = _TAIL + before.held / 8 if before.exact else 2 * self._every(at)
            book(before, min(ended - at, longest))
        return spent

    @property
    def computing(self) -> float | None:
        """The share of its time that the thread ran or wanted to; None where that is unknown."""
        if self._work is None or self._worked is None:
            return None
        (began, before), (ended, after) = self._work, self._worked
        if ended > began:
            return _share(_wanted(before, after), ended - began)
        if self._before is None:
            return None
        # One sample: since it began, then.
        before, unknown = self._before
        wanted, seconds = _wanted(before, after), ended - self.began
        most, least = _share(wanted, seconds), _share(wanted - unknown, seconds)
        return least if (least > COMPUTES) == (most > COMPUTES) else None

    @property
    def computes(self) -> bool | None:
        """Whether the thread computes rather than waits; None where nothing tells."""
        share = self.computing
        if share is not None:
            return share > COMPUTES
        return True if len(self._places) >= _VARIED else None

    def longest(self, ended: float) -> float:
        """Return about how long the longest callback took, in seconds."""
        left = 1
        if isinstance(self._unit, int) and self.callbacks is not None:
            left = max(1, self.callbacks - self._unit)
        return max(self._longest, self._run + (ended - self._at) / left)

    def burst(self, ended: float, threshold: float) -> bool:
        """Return whether many short callbacks make up the time, and no long one among them."""
        share = (ended - self.began) / 4
        if self.callbacks is None:
            # Of tasks seen in turn, how many others ran between two samples is not known.
            return self.seen >= _MANY / 2 and self.longest(ended) < share
        if self.seen < _ENOUGH or self.callbacks < _MANY:
            return False
        return self.longest(ended) < min(threshold, share)


def _wanted(before: Times, after: Times) -> float:
    """Return for how long a thread ran or wanted to, in seconds."""
    ran, waited = after.ran - before.ran, after.waited - before.waited
    # On a busy machine who only wakes up now and then waits for a processor each time.
    return ran + min(waited, _PATIENT * ran)


def _share(work: float, seconds: float) -> float:
    return min(1.0, max(0.0, work / seconds))
