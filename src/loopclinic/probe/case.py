"""What is gathered on one iteration while it lasts too long."""

from math import inf
from typing import NamedTuple

from loopclinic.probe.schedule import Times
from loopclinic.probe.stack import Sample

__all__ = ["COMPUTES", "Case", "Kept"]

_PACE = 0.01  # seconds between samples of a young stall
COMPUTES = 0.25  # share of the time at work, or waiting for a processor, that is no mere waiting
_PATIENT = 8  # times as long for a processor as it runs: who waits longer has slept in between
_INSTANT = 1e-4  # seconds
_VARIED = 3  # innermost lines seen: where a thread's state can't be had, so many mean that it runs
_MANY = 10  # callbacks in one iteration that can be a burst
_ENOUGH = 2  # samples that tell a burst from one long callback


class Kept(NamedTuple):
    """A call of another thread that kept the GIL, seen from `since` to `until`."""

    sample: Sample
    thread: str
    """Its name, empty where the thread has ended since."""
    since: float
    until: float


class Case:
    """The samples of one iteration, each with the time that is booked to its place."""

    __slots__ = (
        "_at",
        "_before",
        "_longest",
        "_pace",
        "_places",
        "_points",
        "_run",
        "_unit",
        "_work",
        "_worked",
        "began",
        "callbacks",
        "called",
        "ended",
        "gil_held",
        "gil_likely",
        "kept",
        "last",
        "noticed",
        "samples",
        "seen",
    )

    def __init__(
        self, began: float, pace: float = _PACE, before: tuple[Times, float] | None = None
    ) -> None:
        self.began = began
        # The thread's times shortly before it began, and how much may have come since.
        self._before = before
        self._pace = pace
        self.ended = inf
        self.noticed = inf
        """When the first sample was taken."""
        self.called = inf
        """When it was first seen in a callback."""
        self.gil_held = False
        self.gil_likely = False
        """Held, or this machine too busy to look: told by whether the loop's thread computed."""
        self.kept: Kept | None = None
        self.samples: dict[tuple[str, int], Sample] = {}
        self.callbacks: int | None = None
        """How many callbacks the iteration has to run, where the loop's own frame tells."""
        self.seen = 0
        """Samples taken."""
        self.last = began
        """When the latest sample was taken."""
        self._points: list[tuple[float, tuple[str, int]]] = []
        self._places: set[tuple[str, int, str]] = set()
        self._work: tuple[float, Times] | None = None
        self._worked: tuple[float, Times] | None = None
        self._unit: int | str = 0  # the callback at work: its number, else its task
        self._at = began
        self._run = self._longest = 0.0

    def add(self, found: Sample, now: float, *, bare: bool = False) -> None:
        """Book the time since the previous sample to the place where this one was taken.

        `bare`: the loop ran no callback that shows.
        """
        if not bare:
            self.called = min(self.called, now)
        self.samples[found.key] = found
        self._points.append((now, found.key))
        self.seen += 1
        self.noticed = min(self.noticed, now)
        if len(self._places) < _VARIED:
            self._places.add(found.frames[-1])
        if now > self.last:
            self._count(found, now)
            self.last = now

    def keep(self, kept: Kept) -> None:
        """Take what another thread was seen to keep the GIL for."""
        since = self.kept.since if self.kept is not None else kept.since
        self.kept = kept._replace(since=since)
        self.noticed = min(self.noticed, kept.until)
        self.called = min(self.called, kept.until)
        self.last = max(self.last, kept.until)

    def keeps(self, kept: Kept) -> bool:
        """Whether that was seen of the same time without the GIL before."""
        return self.kept is not None and abs(self.kept.since - kept.since) < _INSTANT

    def work(self, now: float, work: Times | None) -> None:
        """Take the running totals of the loop's thread."""
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
        """When the next sample is worth its price: ever more rarely as the stall grows."""
        return self.last + max(self._pace, (self.last - self.began) / 16)

    @property
    def guilty(self) -> Sample | None:
        """The place where most of the time went."""
        weights: dict[tuple[str, int], float] = {}
        before = self.began
        for at, key in sorted(self._points):
            weights[key] = weights.get(key, 0.0) + at - before
            before = at
        return self.samples[max(weights, key=weights.__getitem__)] if weights else None

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
        """Whether many short callbacks make up the time, and no long one among them."""
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
