"""Scenes of lab 01 with a few calls: that succeed, that fail, and that are to end all the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import Budget, Call, Calls, Ending, Judged, Loop, Place, Scene
from loopclinic.lessons.core.scene import Kept, Said
from loopclinic.lessons.core.verdicts import (
    blocked,
    broke,
    cancelled_cleanly,
    deadline_kept,
    nested_loop,
)
from loopclinic.servers import SILENCE, transcript_of
from loopclinic.units import count, span
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

BUSY = Budget(0.4, "of the time", "A right answer: below a tenth; one that blocks: nearly all.")
PROMPT = Budget(0.5, "s", "A wait before the first attempt or after the last takes 1 s and more.")
CANCEL = Budget(0.5, "s", "A right answer takes milliseconds; one that goes on waiting, seconds.")
DEADLINE = Budget(2.0, "x the deadline", "A right answer 1; a deadline for each attempt 4.")

_FOR_GOOD = (400, 401, 403, 404, 408, 409, 413, 422, 425, 500, 501, 502, 504)
"""Statuses that no second attempt helps."""
_AFTER = 0.15
"""Seconds in which requests are counted that should not come any more."""


class Transcribing(Scene[Any]):
    """Calls of transcribe with clips that were never seen before."""

    def call(self, lab: ModuleType, stage: "Stage", clip: bytes, **options: float) -> Call:
        """Begin a call."""
        return Call(lambda: lab.transcribe(stage.session, clip, **options), "transcribe")

    def calls(
        self, lab: ModuleType, stage: "Stage", many: int, kind: bytes = b"", **options: float
    ) -> Calls[bytes]:
        """Begin so many calls, each with a clip of its own that begins with `kind`."""
        clips = [kind + stage.rng.randbytes(stage.rng.randrange(200, 2000)) for _ in range(many)]
        return Calls({clip: self.call(lab, stage, clip, **options) for clip in clips})


@dataclass(frozen=True, slots=True)
class Few:
    """Some calls that can succeed and could leave the loop idle."""

    endings: list[Ending]
    texts: list[str]
    """The service's text for each."""
    requests: list[int]
    waits: list[float]
    """The mean of each wait, in seconds, as the service saw it."""
    loop: Loop


class Plain(Transcribing):
    """Calls that succeed at once, while nothing else happens."""

    title, Found = "two calls that succeed at once", Few
    promises: ClassVar[tuple[int, ...]] = (1, 7)
    dials: ClassVar[dict[str, float]] = {"latency": 0.2}
    many, silent = 1, 1
    """Calls, and calls more, with clips in which nobody speaks: their text is empty."""
    idle, backoff = 0.2, 2.0
    """Seconds. So many could be idle at least: calls that do not wait at all are judged elsewhere."""
    doing, wanted = "A call that the service answered at once", 1
    """Also the requests that each call has to send."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> Few:
        await stage.dials(**self.dials)
        found = await self._once(lab, stage)
        # What looks busy is tried once more: a machine stumbles once. Calls that were busy one after
        # another leave no doubt.
        doubtful = found.loop.busy > BUSY.limit and found.loop.seconds < 1.8 * self.idle
        if doubtful and not found.loop.nested:
            again = await self._once(lab, stage)
            found = min(found, again, key=lambda one: one.loop.busy)
        return found

    async def _once(self, lab: ModuleType, stage: "Stage") -> Few:
        calls = self.calls(lab, stage, self.many, backoff=self.backoff)
        calls.update(self.calls(lab, stage, self.silent, SILENCE, backoff=self.backoff))
        endings, loop = await stage.watched(calls, 2.5, alone=self.idle)
        counts, texts = await stage.upstream.counts(), [transcript_of(clip) for clip in calls]
        arrivals = [counts.arrivals_of(clip) for clip in calls]
        requests, waits = [len(times) for times in arrivals], mean_waits(arrivals, self.wanted - 1)
        return Few(endings, texts, requests, waits, loop)

    def results(self, found: Few, judged: Judged, *, at_once: bool) -> Iterator[Said]:
        """Judge what the calls gave; at most one reason."""
        loop = found.loop
        for ending, text, requests in zip(found.endings, found.texts, found.requests, strict=True):
            late = ending.overdue or (at_once and ending.seconds > loop.alone + PROMPT.limit)
            place = ending.place if ending.raised or ending.overdue else loop.waited
            if ending.raised:
                said = f"{self.doing} {ending}"
                step = "Return the service's text, and raise only what the docstring names."
            elif late and not blocked_in(judged):
                said = f"{self.doing} was not done after {span(ending.seconds)}"
                step = "Wait between attempts only: not before the first, not after the last."
            elif ending.returned and ending.value != repr(text):
                if judged.breaks(1):
                    return
                said = f"{self.doing} gave {ending.value}, and not the service's text, {text!r}"
                step = 'Return the answer\'s "text", as it is.'
                if ending.value in map(repr, found.texts):
                    said += ": that is another call's"
                    step = "Share nothing between calls but the session."
            elif ending.returned and requests != self.wanted:
                said = f"{self.doing} sent {count(requests, 'request')} instead of {self.wanted}"
                step = "Send the clip once an attempt."
            else:
                continue
            yield broke(1, f"{said}.", step, place or loop.waited, timed=late)
            return
        if all(ending.returned for ending in found.endings):
            yield from (Kept(1), Kept(2))

    def judge(self, found: Few, judged: Judged) -> Iterator[Said]:
        for one in (found, judged.found(Retried)):
            for reason in nested_loop(one.endings, one.loop, promise=7) if one else ():
                judged.enough = True
                yield reason
                return
        stall, while_ = found.loop.stall, f"{len(found.endings)} calls waited for their answer"
        step = "Make the request with the session, which is asynchronous, and await it."
        if stall is not None and stall.conflict == "blocking-sleep":
            step = "Take the sleep out: nothing needs to wait before the first attempt."
        more: dict[str, Any] = {"next_step": step, "otherwise": "blocking-http"}
        yield from blocked(found.loop, BUSY, while_, promise=7, **more)
        yield from self.results(found, judged, at_once=True)


class Retried(Plain):
    """Calls that fail three times and then succeed."""

    title, promises = "four calls that fail three times and then succeed", (1, 2, 7)
    dials: ClassVar = {"fail_first": 3}
    many, silent, idle, backoff = 4, 0, 0.35, 0.05
    doing, wanted = "A call that fails three times and then succeeds", 4

    def __init__(self, crowd: type[Scene[Any]]) -> None:
        self._crowd = crowd

    def judge(self, found: Few, judged: Judged) -> Iterator[Said]:
        plain, crowd = judged.expect(Plain).loop, judged.found(self._crowd)
        victims = "Callers who never had to retry took"
        more: dict[str, Any] = {
            "conflict": "blocking-retry",
            "reported": plain.stall.place if plain.stall and plain.busy > BUSY.limit else None,
            "also": f" {victims} {span(crowd.yours.healthy_p90)} (p90)." if crowd else "",
        }
        while_ = f"{len(found.endings)} calls waited to try again"
        step = "Await the wait: asyncio.sleep instead of a call that blocks, in an async function."
        yield from blocked(found.loop, BUSY, while_, promise=7, next_step=step, **more)
        yield from self.results(found, judged, at_once=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """The slowest of some calls that can't succeed."""

    ending: Ending
    requests: int
    """The most that a call sent."""
    place: Place | None
    """Where it waited most."""


class Refusals(Transcribing):
    """Calls that can't succeed."""

    title, promises = "calls that can't succeed", (2, 3)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of them, by what the service did."""

        for_good: dict[int, Refused]
        """By the status that it answered."""
        busy: Refused
        """It answered 429 each time."""
        broken: Refused
        """It broke the connection each time."""
        last: Refused
        """It answered 503 to the only attempt."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> "Refusals.Found | None":
        if nested(stage):
            return None

        async def failing(
            what: str, dials: dict[str, Any], many: int = 1, cap: float = 1.5, **options: float
        ) -> Refused:
            stage.step(what)
            await stage.dials(**dials)
            calls = self.calls(lab, stage, many, b"", **options)
            endings, loop = await stage.watched(calls, cap)
            counts = await stage.upstream.counts()
            requests = max(len(counts.arrivals_of(clip)) for clip in calls)
            worst = max(endings, key=lambda ending: ending.seconds)
            return Refused(worst, requests, loop.waited)

        few: dict[str, Any] = {"backoff": 0.02, "attempts": 3}
        what = "a call that the service refuses for good"
        for_good: dict[int, Refused] = {}
        for status in stage.rng.sample(_FOR_GOOD, len(_FOR_GOOD)):
            for_good[status] = await failing(what, {"status": status}, backoff=0.02)
            if _for_good(status, for_good[status]) is not None:
                break
        busy = await failing("a call that is answered 429 each time", {"status": 429}, **few)
        broken = await failing("a call whose connection breaks each time", {"refuse": 1.0}, **few)
        # Several, because a jittered wait after the last attempt may be short by chance.
        many, backoff = (1, 1.0) if blocked_in(stage) else (4, 3.0)
        one = {"attempts": 1, "cap": 1.0, "backoff": backoff}
        last = await failing("a call with one attempt, which fails", {"status": 503}, many, **one)
        return self.Found(for_good, busy, broken, last)

    def judge(self, found: "Refusals.Found", judged: Judged) -> Iterator[Said]:
        del judged
        reasons = (_for_good(status, one) for status, one in found.for_good.items())
        yield next((reason for reason in reasons if reason is not None), Kept(3))
        stop = "Stop after `attempts` requests and raise TranscriptionError."
        used_up = "Raise TranscriptionError when the attempts are used up."
        for one, allowed, each, after in (
            (found.busy, 3, "429", "three answers 429 of three allowed"),
            (found.broken, 3, "broken connection", "three broken connections of three allowed"),
            (found.last, 1, "503", "one answer 503 of one allowed"),
        ):
            ending, requests = one.ending, one.requests
            if requests < allowed:
                said = f"With attempts={allowed}, only {count(requests, 'request')} came "
                said += f"({each} each time), then the call {ending}."
                step = "Try again after 429, 503 and aiohttp.ClientConnectionError."
                yield broke(2, said, step, ending.place, timed=ending.overdue)
            elif requests == 1 and ending.seconds > PROMPT.limit:
                said = "The call waits once more after its last attempt has failed."
                step = "Raise TranscriptionError as soon as the last attempt has failed."
                place = ending.place if ending.raised or ending.overdue else one.place
                figures = {"measured": span(ending.seconds), "budget": span(PROMPT.limit)}
                yield broke(2, said, step, place, timed=True, **figures)
            else:
                said = f"With attempts={allowed}, the same clip was sent {requests} times."
                more = {"too_often": said, "stop": stop, "after": after}
                if (reason := _refused(2, one, allowed, step=used_up, **more)) is None:
                    continue
                yield reason
            return
        yield Kept(2)


def _for_good(status: int, one: Refused) -> Reason | None:
    sent = f"The service refused a clip with {status}, and it was sent {one.requests} times all the same."
    other = "Try again after 429, 503 and broken connections only."
    step = "Raise TranscriptionError at once for every other status."
    more = {"too_often": sent, "stop": other, "after": f"a {status}", "step": step}
    reason = _refused(3, one, 1, **more)
    if reason is None and one.ending.seconds > PROMPT.limit:
        said = f"After a {status} the call waited before it raised TranscriptionError."
        figures = {"measured": span(one.ending.seconds), "budget": span(PROMPT.limit)}
        return broke(3, said, step, one.place, timed=True, **figures)
    return reason


def _refused(
    promise: int, one: Refused, allowed: int, *, too_often: str, stop: str, after: str, step: str
) -> Reason | None:
    """Judge whether a call sent no more than is allowed, and raised what it has to."""
    ending = one.ending
    if one.requests > allowed:
        figures = {"measured": count(one.requests, "request"), "budget": count(allowed, "request")}
        return broke(promise, too_often, stop, one.place, conflict="retry-storm", **figures)
    if ending.is_error("TranscriptionError"):
        return None
    said = f"After {after}, the call {ending} instead of raising TranscriptionError."
    return broke(promise, said, step, ending.place or one.place, timed=ending.overdue)


@dataclass(frozen=True, slots=True)
class Ended:
    """Calls to a service that does not help: some have a deadline, others are cancelled."""

    deadline: float
    bounded: Ending
    """The worst of those with a deadline."""
    place: Place | None
    """Where that one waited."""
    begun: bool
    """Whether its answer had begun."""
    requests: float
    """That a call with a deadline sent on average."""
    cancelled: Ending | None
    """The worst of those that were cancelled; None where all were over before."""
    requests_after: int
    """Sent by calls that had been cancelled."""
    still_open: int
    """Requests that the service still had after their calls were cancelled."""

    @property
    def went_on(self) -> bool:
        """Whether a call went on when it was cancelled."""
        one = self.cancelled
        return one is not None and (one.how != "cancelled" or one.seconds > CANCEL.limit)


class Hanging(Transcribing):
    """A service that never answers, to calls that are to end all the same."""

    title = "calls to a service that never answers: some have a deadline, some are cancelled"
    Found, promises = Ended, (5, 6)
    kinds: ClassVar[tuple[bytes, ...]] = (b"", b"stalls")
    """What clips begin with: of as many calls again, the answers begin and never end."""
    dials: ClassVar[dict[str, Any]] = {"hang": 1.0, "hang_in_body_for": "stalls"}
    many, after = (3, 3), 0.15
    """Calls with a deadline, and calls that are cancelled after so many seconds."""
    bounded: ClassVar[dict[str, float]] = {"deadline": 0.5, "attempts": 4, "backoff": 0.05}
    doomed: ClassVar[dict[str, float]] = {"deadline": 60.0, "attempts": 10, "backoff": 0.02}
    doing, while_ = "waited for an answer", "the service never answered"
    free_in: ClassVar[tuple[type[Plain], ...]] = (Plain,)
    """Where a lab must not block: in the request itself, it would hang with the service, and for good."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> Ended | None:
        """Make the calls, cancel some, and wait for the others no longer than is allowed."""
        if nested(stage) or blocked_in(stage, *self.free_in):
            return None
        await stage.dials(**self.dials)
        bounded, doomed = Calls[bytes](), Calls[bytes]()
        began, deadline = stage.clock(), self.bounded["deadline"]
        for kind in self.kinds:
            bounded.update(self.calls(lab, stage, self.many[0], kind, **self.bounded))
            doomed.update(self.calls(lab, stage, self.many[1], kind, **self.doomed))
        await stage.sleep(self.after)
        ending, after, still_open = await self._cancel(stage, doomed)
        left = DEADLINE.limit * deadline - (stage.clock() - began)
        endings, loop = await stage.watched(bounded, max(0.0, left))
        worst = max(endings, key=_worse)
        counts = await stage.upstream.counts()
        requests = sum(len(counts.arrivals_of(clip)) for clip in bounded) / len(bounded)
        place = worst.place if worst.raised or worst.overdue else loop.waited
        begun = endings.index(worst) >= self.many[0]
        return Ended(deadline, worst, place, begun, requests, ending, after, still_open)

    async def _cancel(self, stage: "Stage", calls: Calls[bytes]) -> tuple[Ending | None, int, int]:
        """Cancel the calls, and ask the service whether that reached it."""
        doomed = Calls({clip: call for clip, call in calls.items() if not call.done})
        if not doomed:
            return None, 0, 0
        endings = await doomed.cancelled(CANCEL.limit)
        after = await stage.requests_after(_AFTER, list(doomed))
        # The first of those that went on; else the slowest.
        slowest = max(endings, key=lambda one: one.seconds)
        worst = next((one for one in endings if one.how != "cancelled"), slowest)
        counts, still_open = await stage.upstream.counts(), 0
        if "hang" in self.dials:
            still_open = sum(bool(counts.arrivals_of(clip)) for clip in doomed) - counts.disconnects
        await doomed.settled(0)
        return worst, after, still_open

    def judge(self, found: Ended, judged: Judged) -> Iterator[Said]:
        endless, swallowed = judged.found(Endless), "swallowed-cancellation"
        went_on = endless is not None and endless.went_on
        # Of two calls that went on, the one that waited to try again is reported.
        reported = judged.has(swallowed, "dropped-task") or (went_on and found is not endless)
        if found.cancelled is not None and not reported:
            step = "Let CancelledError through: catch only what you can retry, and raise the rest."
            owned = "Await the work itself, so that cancelling the call cancels it, too."
            who, of = f"A call was cancelled while it {self.doing}", found.cancelled
            after: dict[str, Any] = {"sent": found.requests_after, "still_open": found.still_open}
            yield from cancelled_cleanly(
                of, CANCEL, who, promise=6, next_step=step, owned=owned, **after
            )
        # A deadline ends a call by cancelling what it waits for: it can't work before that does, and a
        # call that goes on when it is cancelled goes on to its next attempt at once.
        if not (went_on or judged.has(swallowed, "missing-deadline")):
            while_ = "the body of the answer never came" if found.begun else self.while_
            # Its attempts were used up too soon for a deadline: that is judged by the waits.
            otherwise = "TranscriptionError" if isinstance(self, Endless) else None
            more: dict[str, Any] = {"promise": 5, "place": found.place, "otherwise": otherwise}
            yield from deadline_kept(found.bounded, found.deadline, DEADLINE, while_, **more)


class Endless(Hanging):
    """A service that always fails."""

    title = "calls to a service that always fails: some have a deadline, some are cancelled"
    kinds, dials = (b"",), {"status": 503}
    # The first wait alone is five deadlines long; a dozen, because jitter may make it short.
    many, after = (12, 5), 0.2
    bounded: ClassVar = {"deadline": 0.4, "attempts": 5, "backoff": 2.0}
    # A thread that sleeps for one of these is still at it when all is over.
    doomed: ClassVar = {"deadline": 60.0, "attempts": 10, "backoff": 5.0}
    doing, while_ = "waited to try again", "the service kept failing"
    free_in = (Plain, Retried)


def blocked_in(known: "Stage | Judged", *scenes: type[Plain]) -> bool:
    """Return whether the lab was found to block: what only shows on a free loop is left out then."""
    found = map(known.found, scenes or (Plain, Retried))
    return any(one is not None and one.loop.busy > BUSY.limit for one in found)


def nested(stage: "Stage") -> bool:
    """Return whether a loop was run inside the running one: what follows would only pile loop upon loop."""
    found = map(stage.found, (Plain, Retried))
    return any(one is not None and one.loop.nested for one in found)


def _worse(ending: Ending) -> tuple[bool, bool, float]:
    """Order endings of calls with a deadline; those that are not over are all alike."""
    late = ending.overdue
    return late, not ending.is_error("TimeoutError"), 0.0 if late else ending.seconds


def mean_waits(arrivals: Sequence[Sequence[float]], failures: int) -> list[float]:
    """Return the mean of each wait, over the callers that made all their requests."""
    whole = [times for times in arrivals if len(times) > failures]
    gaps = [[times[n + 1] - times[n] for times in whole] for n in range(failures)]
    return [fmean(one) for one in gaps if one]
