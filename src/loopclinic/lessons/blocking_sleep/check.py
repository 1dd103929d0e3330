"""The check of lab 01: a day of an overloaded speech-to-text service, in six scenes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import Call, Calls, Check, Ending, Judged, Kept, Loop, Place, Scene
from loopclinic.lessons.core.verdicts import (
    at,
    blocked,
    cancelled_cleanly,
    deadline_kept,
    nested_loop,
)
from loopclinic.lessons.lesson import Budget
from loopclinic.lessons.wording import span
from loopclinic.servers import is_flaky, transcript_of
from loopclinic.units import count
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

__all__ = ["CHECK"]

BUSY = Budget(
    0.4,
    "of the time",
    "A right answer is busy for less than a tenth, one that blocks for nearly all.",
)
PROMPT = Budget(
    0.5,
    "s",
    "No wait belongs before the first attempt or after the last; it would take 1 s and more.",
)
CANCEL = Budget(0.5, "s", "A right answer takes milliseconds; one that goes on waiting, seconds.")
DEADLINE = Budget(
    2.0, "x the deadline", "A right answer takes 1, a deadline for each attempt 4, none for ever."
)
LAG = Budget(
    0.5, "x the lag of the file as shipped", "Of the same run. A right answer shows a tenth of it."
)
QUEUE = Budget(
    3.0, "x a caller's own waits", "Nine in ten. A right answer 1; six threads for a hundred, ten."
)
THREADS = Budget(3, "new threads", "Waiting needs none. A thread a waiting caller means 6, or 100.")
WAITS_LEAST = Budget(
    0.25,
    "x backoff * 2**n, on average",
    "Full jitter gives half of it, no backoff next to nothing.",
)
WAITS_MOST = Budget(
    1.5, "x backoff * 2**n, on average", "Timers are never early. Counting n from 1 gives 2."
)
GROWTH = Budget(
    0.25,
    "x the growth of backoff * 2**n, from the first wait to the last",
    "Doubling gives 1, full jitter half of it; a constant wait gives 0.",
)
REST = Budget(
    2.5,
    "requests a caller",
    "In a fifth of the first wait. Full jitter sends 1.2, no backoff all 5.",
)

_AFTER = 0.15
"""Seconds in which requests are counted that should not come any more."""


class _Transcribing(Scene[Any]):
    """Calls of transcribe with clips that were never seen before."""

    def call(self, lab: ModuleType, stage: "Stage", clip: bytes, **options: float) -> Call:
        """Begin a call."""
        return Call(lambda: lab.transcribe(stage.session, clip, **options), "transcribe")

    def calls(
        self, lab: ModuleType, stage: "Stage", many: int, kind: bytes = b"", **options: float
    ) -> Calls[bytes]:
        """Begin so many calls, each with a clip of its own that begins with `kind`."""
        rng = stage.rng
        clips = [kind + rng.randbytes(rng.randrange(200, 2000)) for _ in range(many)]
        return Calls({clip: self.call(lab, stage, clip, **options) for clip in clips})


@dataclass(frozen=True, slots=True)
class Few:
    """Some calls that can succeed and could leave the loop idle."""

    endings: list[Ending]
    right: list[bool]
    """Whether each returned the service's text."""
    requests: list[int]
    waits: list[float]
    """The mean of each wait, in seconds, as the service saw it."""
    loop: Loop


class _Quiet(_Transcribing):
    """Some calls that can succeed, while nothing else happens."""

    Found = Few
    dials: ClassVar[dict[str, float]]
    many: ClassVar[int]
    idle: ClassVar[float]
    """Seconds that could be idle at least: calls that do not wait at all are judged elsewhere."""
    backoff: ClassVar[float]
    doing: ClassVar[str]
    wanted: ClassVar[int]
    """Requests that each call has to send."""

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
        endings, loop = await stage.watched(calls, 2.5, alone=self.idle)
        counts = await stage.upstream.counts()
        arrivals = [counts.arrivals_of(clip) for clip in calls]
        return Few(
            endings,
            [call.value == transcript_of(clip) for clip, call in calls.items()],
            [len(times) for times in arrivals],
            mean_waits(arrivals, 2),
            loop,
        )

    def results(self, found: Few, judged: Judged, *, at_once: bool) -> Iterator[Reason | Kept]:
        """Judge what the calls gave; at most one reason."""
        loop = found.loop
        for ending, right, requests in zip(found.endings, found.right, found.requests, strict=True):
            late = ending.overdue or (at_once and ending.seconds > loop.alone + PROMPT.limit)
            place = ending.place if ending.raised or ending.overdue else loop.waited
            if ending.raised:
                said = f"{self.doing} {ending}"
                step = "Return the service's text, and raise only what the docstring names."
            elif late and not blocked_in(judged):
                said = f"{self.doing} was not done after {span(ending.seconds)}"
                step = "Wait between attempts only: not before the first, not after the last."
            elif ending.returned and not right:
                said = f"{self.doing} gave {ending.value}, which is not the service's text"
                step = 'Return the answer\'s "text".'
            elif ending.returned and requests != self.wanted:
                said = f"{self.doing} sent {count(requests, 'request')} instead of {self.wanted}"
                step = "Send the clip once an attempt."
            else:
                continue
            yield Reason(
                f"{said}.", **at(place or loop.waited), promise=1, timed=late, next_step=step
            )
            return
        if all(ending.returned for ending in found.endings):
            yield from (Kept(1), Kept(2))


class Plain(_Quiet):
    """Calls that succeed at once."""

    title, promises = "two calls that succeed at once", (1, 7)
    dials: ClassVar = {"latency": 0.2}
    many, idle, backoff = 2, 0.2, 2.0
    doing, wanted = "A call that the service answered at once", 1

    def judge(self, found: Few, judged: Judged) -> Iterator[Reason | Kept]:
        quiet = [one for one in (found, judged.found(Retried)) if one is not None]
        nests = [
            reason for one in quiet for reason in nested_loop(one.endings, one.loop, promise=7)
        ]
        if nests:
            judged.enough = True
            yield nests[0]
            return
        stall = found.loop.stall
        step = "Make the request with the session, which is asynchronous, and await it."
        if stall is not None and stall.conflict == "blocking-sleep":
            step = "Take the sleep out: nothing needs to wait before the first attempt."
        yield from blocked(
            found.loop,
            BUSY,
            f"{len(found.endings)} calls waited for their answer",
            promise=7,
            otherwise="blocking-http",
            next_step=step,
        )
        yield from self.results(found, judged, at_once=True)


class Retried(_Quiet):
    """Calls that fail twice and then succeed."""

    title, promises = "four calls that fail twice and then succeed", (1, 2, 7)
    dials: ClassVar = {"fail_first": 2}
    many, idle, backoff = 4, 0.3, 0.1
    doing, wanted = "A call that fails twice and then succeeds", 3

    def judge(self, found: Few, judged: Judged) -> Iterator[Reason | Kept]:
        plain, crowd = judged.expect(Plain).loop, judged.found(Crowd)
        victims = (
            f" Callers who never had to retry took {span(crowd.yours.healthy_p90)} (p90)."
            if crowd is not None
            else ""
        )
        yield from blocked(
            found.loop,
            BUSY,
            f"{len(found.endings)} calls waited to try again",
            promise=7,
            conflict="blocking-retry",
            reported=plain.stall.place if plain.stall and plain.busy > BUSY.limit else None,
            also=victims,
            next_step="Await the wait: asyncio.sleep instead of a call that blocks, in an async function.",
        )
        yield from self.results(found, judged, at_once=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """The slowest of some calls that can't succeed."""

    ending: Ending
    requests: int
    """The most that a call sent."""
    place: Place | None
    """Where it waited most."""


class Refusals(_Transcribing):
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

        async def failing(many: int = 1, cap: float = 1.5, **options: float) -> Refused:
            calls = self.calls(lab, stage, many, b"", **options)
            endings, loop = await stage.watched(calls, cap)
            counts = await stage.upstream.counts()
            requests = max(len(counts.arrivals_of(clip)) for clip in calls)
            worst = max(endings, key=lambda ending: ending.seconds)
            return Refused(worst, requests, loop.waited)

        stage.step("a call that the service refuses for good")
        for_good = {}
        for statuses in ((400, 401, 404, 413, 422), (500, 502, 504)):
            status = stage.rng.choice(statuses)
            await stage.dials(status=status)
            for_good[status] = await failing(backoff=0.02)
        stage.step("a call that is answered 429 each time")
        await stage.dials(status=429)
        busy = await failing(backoff=0.02, attempts=3)
        stage.step("a call whose connection breaks each time")
        await stage.dials(refuse=1.0)
        broken = await failing(backoff=0.02, attempts=3)
        stage.step("a call with one attempt, which fails")
        await stage.dials(status=503)
        # Several, because a jittered wait after the last attempt may be short by chance.
        many, backoff = (1, 1.0) if blocked_in(stage) else (4, 3.0)
        last = await failing(many, cap=1.0, backoff=backoff, attempts=1)
        return self.Found(for_good, busy, broken, last)

    def judge(self, found: "Refusals.Found", judged: Judged) -> Iterator[Reason | Kept]:
        del judged
        said = [self._for_good(status, one) for status, one in found.for_good.items()]
        yield next((reason for reason in said if reason is not None), Kept(3))
        for one, allowed, each, doing in (
            (found.busy, 3, "429", "three answers 429 of three allowed"),
            (found.broken, 3, "broken connection", "three broken connections of three allowed"),
            (found.last, 1, "503", "one answer 503 of one allowed"),
        ):
            ending = one.ending
            if one.requests > allowed:
                yield Reason(
                    f"With attempts={allowed}, the same clip was sent {one.requests} times.",
                    conflict="retry-storm",
                    measured=count(one.requests, "request"),
                    budget=count(allowed, "request"),
                    **at(one.place),
                    promise=2,
                    next_step="Stop after `attempts` requests and raise TranscriptionError.",
                )
            elif one.requests < allowed:
                yield Reason(
                    f"With attempts={allowed}, only {count(one.requests, 'request')} came ({each} each "
                    f"time), then the call {ending}.",
                    **at(ending.place),
                    promise=2,
                    timed=ending.overdue,
                    next_step="Try again after 429, 503 and aiohttp.ClientConnectionError.",
                )
            elif one is found.last and ending.seconds > PROMPT.limit:
                yield Reason(
                    "The call waits once more after its last attempt has failed.",
                    measured=span(ending.seconds),
                    budget=span(PROMPT.limit),
                    **at(ending.place if ending.raised or ending.overdue else one.place),
                    promise=2,
                    timed=True,
                    next_step="Raise TranscriptionError as soon as the last attempt has failed.",
                )
            elif not ending.is_error("TranscriptionError"):
                yield Reason(
                    f"After {doing}, the call {ending} instead of raising TranscriptionError.",
                    **at(ending.place),
                    promise=2,
                    timed=ending.overdue,
                    next_step="Raise TranscriptionError when the attempts are used up.",
                )
            else:
                continue
            return
        yield Kept(2)

    def _for_good(self, status: int, found: Refused) -> Reason | None:
        ending = found.ending
        if found.requests > 1:
            return Reason(
                f"The service refused a clip with {status}, and it was sent {found.requests} times all "
                "the same.",
                conflict="retry-storm",
                measured=count(found.requests, "request"),
                budget="1 request",
                **at(found.place),
                promise=3,
                next_step="Try again after 429, 503 and broken connections only.",
            )
        if not ending.is_error("TranscriptionError"):
            return Reason(
                f"After a {status} the call {ending} instead of raising TranscriptionError.",
                **at(ending.place),
                promise=3,
                timed=ending.overdue,
                next_step="Raise TranscriptionError at once for every other status.",
            )
        return None


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


class _Unhelpful(_Transcribing):
    """A service that does not help, to calls that are to end all the same."""

    Found = Ended
    promises = (5, 6)
    dials: ClassVar[dict[str, Any]]
    stalls: ClassVar[str] = ""
    """In the clips of as many calls again, whose answers begin and never end."""
    many: ClassVar[tuple[int, int]]
    """Calls with a deadline, and calls that are cancelled."""
    bounded: ClassVar[dict[str, float]]
    doomed: ClassVar[dict[str, float]]
    """Their options."""
    after: ClassVar[float]
    """Seconds until those are cancelled."""
    doing: ClassVar[str]
    while_: ClassVar[str]

    async def ends(self, lab: ModuleType, stage: "Stage") -> Ended:
        """Make the calls, cancel some, and wait for the others no longer than is allowed."""
        await stage.dials(**self.dials)
        kinds = (b"", self.stalls.encode()) if self.stalls else (b"",)
        bounded, doomed = Calls[bytes](), Calls[bytes]()
        began, deadline = stage.clock(), self.bounded["deadline"]
        for kind in kinds:
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
        went_on = [one for one in endings if one.how != "cancelled"]
        worst = went_on[0] if went_on else max(endings, key=lambda one: one.seconds)
        counts, still_open = await stage.upstream.counts(), 0
        if "hang" in self.dials:
            still_open = sum(bool(counts.arrivals_of(clip)) for clip in doomed) - counts.disconnects
        await doomed.settled(0)
        return worst, after, still_open

    def judge(self, found: Ended, judged: Judged) -> Iterator[Reason | Kept]:
        endless, swallowed = judged.found(Endless), "swallowed-cancellation"
        went_on = endless is not None and endless.went_on
        # Of two calls that went on, the one that waited to try again is reported.
        reported = judged.has(swallowed, "dropped-task") or (went_on and found is not endless)
        if found.cancelled is not None and not reported:
            yield from cancelled_cleanly(
                found.cancelled,
                CANCEL,
                f"A call was cancelled while it {self.doing}",
                promise=6,
                next_step="Let CancelledError through: catch only what you can retry, and raise the rest.",
                owned="Await the work itself, so that cancelling the call cancels it, too.",
                sent=found.requests_after,
                still_open=found.still_open,
            )
        # A deadline ends a call by cancelling what it waits for: it can't work before that does, and a
        # call that goes on when it is cancelled goes on to its next attempt at once.
        if not (went_on or judged.has(swallowed, "missing-deadline")):
            yield from deadline_kept(
                found.bounded,
                found.deadline,
                DEADLINE,
                "the body of the answer never came" if found.begun else self.while_,
                promise=5,
                place=found.place,
                # Its attempts were used up too soon for a deadline: that is judged by the waits.
                otherwise="TranscriptionError" if isinstance(self, Endless) else None,
            )


class Hanging(_Unhelpful):
    """A service that never answers."""

    title = "calls to a service that never answers: some have a deadline, some are cancelled"
    stalls = "stalls"
    dials: ClassVar = {"hang": 1.0, "hang_in_body_for": stalls}
    many = (3, 3)
    bounded: ClassVar = {"deadline": 0.5, "attempts": 4, "backoff": 0.05}
    doomed: ClassVar = {"deadline": 60.0, "attempts": 10, "backoff": 0.02}
    after, doing, while_ = 0.15, "waited for an answer", "the service never answered"

    async def drive(self, lab: ModuleType, stage: "Stage") -> Ended | None:
        # A lab that blocks in the request itself would hang with the service, and for good.
        if nested(stage) or _busy(stage.found(Plain)):
            return None
        return await self.ends(lab, stage)


class Endless(_Unhelpful):
    """A service that always fails."""

    title = "calls to a service that always fails: some have a deadline, some are cancelled"
    dials: ClassVar = {"status": 503}
    # The first wait alone is five deadlines long; a dozen, because jitter may make it short.
    many = (12, 5)
    bounded: ClassVar = {"deadline": 0.4, "attempts": 5, "backoff": 2.0}
    # A thread that sleeps for one of these is still at it when all is over.
    doomed: ClassVar = {"deadline": 60.0, "attempts": 10, "backoff": 5.0}
    after, doing, while_ = 0.2, "waited to try again", "the service kept failing"

    async def drive(self, lab: ModuleType, stage: "Stage") -> Ended | None:
        return None if nested(stage) or blocked_in(stage) else await self.ends(lab, stage)


@dataclass(frozen=True, slots=True)
class Arrived:
    """What many callers got. Seconds count from when a call was due: a stuck loop begins calls late."""

    flaky: int
    """Callers that must try again."""
    healthy: int
    flaky_p90: float
    healthy_p90: float
    request: float
    """What callers took on average that need not try again."""
    ideal: list[float]
    """Each wait, `backoff * 2**n`."""
    waits: list[float]
    """The mean of each wait as the service saw it; empty if nobody made all requests."""
    wrong: Ending | None
    """A call that raised, else one that returned something else than the service's text."""
    loop: Loop


class Crowd(_Transcribing):
    """Many callers of which some must try again, beside those of the file as shipped."""

    title, promises = "ten callers of the file as shipped, for comparison", (1, 4, 7)
    many, within = (100, 30), 0.5
    """Callers that must try again and that need not; all at one instant would be a burst, which lags
    without anybody's fault."""
    few = (False, False, True, False, False, False, True, False, False, False)
    """Whether each of ten callers has to try again: those that come after pay for it."""

    @dataclass(frozen=True, slots=True)
    class Found:
        """What callers got, of the lab and of the file as shipped."""

        yours: Arrived
        shipped: Arrived

    async def drive(self, lab: ModuleType, stage: "Stage") -> "Crowd.Found | None":
        if nested(stage):
            return None
        shipped = await self._arrive(stage.antipattern, stage, self.few, failures=1, backoff=0.3)
        if blocked_in(stage):
            stage.step("ten callers, two of which have to try again")
            yours = await self._arrive(lab, stage, self.few, failures=1, backoff=0.3)
        else:
            # A machine that is slow already gets fewer, so that the verdict comes in time.
            share = 1.0 if stage.in_time else 0.3
            flaky, healthy = (int(share * many) for many in self.many)
            stage.step(f"{flaky} callers that fail three times among {healthy} that do not")
            retrying = [True] * flaky + [False] * healthy
            stage.rng.shuffle(retrying)
            yours = await self._arrive(lab, stage, retrying, failures=3, backoff=0.12)
            if yours.loop.lag > LAG.limit * shipped.loop.lag and stage.in_time:
                again = await self._arrive(lab, stage, retrying, failures=3, backoff=0.12)
                yours = min(yours, again, key=lambda one: one.loop.lag)
        stage.vital(
            callers=yours.flaky + yours.healthy,
            lag_mean_ms=round(1000 * yours.loop.lag, 2),
            lag_mean_ms_as_shipped=round(1000 * shipped.loop.lag, 2),
            lag_p99_ms=round(1000 * yours.loop.lag_p99, 1),
            lag_p99_ms_as_shipped=round(1000 * shipped.loop.lag_p99, 1),
            healthy_p90_ms=round(1000 * yours.healthy_p90, 1),
            healthy_p90_ms_as_shipped=round(1000 * shipped.healthy_p90, 1),
            retrying_p90_of_own_waits=round(yours.flaky_p90 / sum(yours.ideal), 2),
            new_threads=yours.loop.threads,
        )
        return self.Found(yours, shipped)

    async def _arrive(
        self,
        lab: ModuleType,
        stage: "Stage",
        retrying: Sequence[bool],
        *,
        failures: int,
        backoff: float,
    ) -> Arrived:
        await stage.dials(fail_first=failures, fail_share=0.5)
        flaky = {_clip(stage, flaky=one): one for one in retrying}
        ideal = [backoff * 2**n for n in range(failures)]
        options = {"attempts": failures + 1, "backoff": backoff, "deadline": 30.0}
        async with stage.watch_loop() as watch:
            calls, due = await stage.arriving(
                list(flaky),
                lambda clip: self.call(lab, stage, clip, **options),
                watch,
                within=self.within,
            )
            endings = await calls.settled(QUEUE.limit * sum(ideal) + self.within)
        counts = await stage.upstream.counts()

        def seconds(wanted: bool) -> list[float]:
            return sorted(calls[clip].seconds(due[clip]) for clip in calls if flaky[clip] == wanted)

        slow, quick = seconds(wanted=True), seconds(wanted=False)
        texts = [call.value == transcript_of(clip) for clip, call in calls.items()]
        wrong = [one for one in endings if one.raised] + [
            one for one, right in zip(endings, texts, strict=True) if one.returned and not right
        ]
        return Arrived(
            flaky=len(slow),
            healthy=len(quick),
            flaky_p90=slow[int(len(slow) * 0.9)],
            healthy_p90=quick[int(len(quick) * 0.9)],
            request=fmean(quick),
            ideal=ideal,
            waits=mean_waits([counts.arrivals_of(clip) for clip in flaky if flaky[clip]], failures),
            wrong=wrong[0] if wrong else None,
            loop=watch.found,
        )

    def judge(self, found: "Crowd.Found", judged: Judged) -> Iterator[Reason | Kept]:
        if blocked_in(judged):  # which is judged there, and decides everything here but results
            if found.yours.wrong is None:
                yield Kept(1)
            return
        yield from nested_loop((), found.yours.loop, promise=7)
        yours, loop, place = found.yours, found.yours.loop, at(found.yours.loop.waited)
        # The time of a request is nobody's wait, and a busy machine makes it longer for all alike.
        own = yours.flaky_p90 - (len(yours.ideal) + 1) * yours.request
        times = max(own, yours.healthy_p90) / sum(yours.ideal)
        queued, saturated = times > QUEUE.limit, loop.threads > THREADS.limit
        if saturated:
            behind = f", and took {times:.1f} times their own waits (p90)" if queued else ""
            yield Reason(
                f"{yours.flaky} callers that waited to try again took {loop.threads} new threads"
                f"{behind}: a thread can wait for one caller only, and there are few.",
                conflict="executor-saturation",
                measured=f"{loop.threads} new threads",
                budget=str(THREADS),
                **place,
                promise=7,
                next_step="Wait without a thread: await asyncio.sleep(seconds).",
            )
        elif queued:
            yield Reason(
                f"Callers wait for each other: nine in ten of {yours.flaky} took up to {times:.1f} times "
                "their own waits, though the loop was free.",
                conflict="sequential-awaits",
                measured=f"{times:.1f} x",
                budget=str(QUEUE),
                **place,
                promise=7,
                timed=True,
                next_step="Hold no lock, semaphore or queue while you wait to try again.",
            )
        lag, stall = loop.lag / found.shipped.loop.lag, loop.stall
        conflict = (stall.conflict if stall else None) or "cpu-bound"
        # Threads make a loop wait for its turn, too: that lag is reported once they are gone.
        if lag > LAG.limit and not (saturated and conflict == "cpu-bound"):
            code = f", by `{stall.place.code}` for one" if stall else ""
            yield Reason(
                f"Among {yours.flaky + yours.healthy} callers an event waited {span(loop.lag)} for the "
                f"loop on average{code}.",
                conflict=conflict,
                measured=f"{lag:.2f} x the lag as shipped ({span(found.shipped.loop.lag)})",
                budget=str(LAG),
                **at(loop.place),
                promise=7,
                timed=True,
                next_step="Do less between two awaits, or do it outside of the loop.",
            )
        elif not (queued or saturated):
            yield Kept(7)
        if queued:
            return
        if yours.wrong is not None:
            what = str(yours.wrong) if yours.wrong.raised else "got another caller's text"
            yield Reason(
                f"Among {yours.flaky + yours.healthy} callers at once, one {what}.",
                **(at(yours.wrong.place) if yours.wrong.raised else {}),
                promise=1,
                next_step="Share nothing between calls but the session.",
            )
            return
        yield Kept(1)
        yield from self._waits(yours, judged)

    def _waits(self, found: Arrived, judged: Judged) -> Iterator[Reason | Kept]:
        few, endless = judged.expect(Retried), judged.found(Endless)
        waits, ideal = found.waits, found.ideal
        if not waits or endless is None:
            return  # nobody got that far: `results` says so
        went_on = judged.has("swallowed-cancellation")
        early, shown = 0.0 if went_on else endless.requests, ", ".join(map(span, waits))
        # Measured between a clip's arrivals, requests included: a slow machine never makes it shorter.
        share = sum(waits) / sum(ideal)
        grown = (waits[-1] - waits[0]) / (ideal[-1] - ideal[0])
        # A slow machine makes waits longer, too, but not twice in the same way: with the requests' own
        # time among four callers, and without it in a crowd.
        alone = sum(few.waits) / few.loop.alone
        without = share - len(waits) * found.request / sum(ideal)
        slack = (1 + WAITS_MOST.limit) / 2
        common: dict[str, Any] = {"promise": 4, "timed": True, **at(found.loop.waited)}
        if share < WAITS_LEAST.limit or early > REST.limit:
            yield Reason(
                f"The service got no rest: {found.flaky} callers came back after {shown} on average, and "
                f"with a backoff of 2 s a caller sent {early:.1f} requests in 400 ms.",
                conflict="retry-storm",
                measured=f"{share:.2f} x; {early:.1f} requests a caller",
                budget=f"at least {WAITS_LEAST}; {REST}",
                next_step="Wait between attempts, twice as long each time, with jitter.",
                **common,
            )
        # Where a request takes as long as a wait, the service's queue is what the gaps show.
        elif grown < GROWTH.limit and found.request < ideal[1]:
            yield Reason(
                f"The waits do not grow: {shown} on average.",
                conflict="retry-storm",
                measured=f"{grown:.2f} x",
                budget=f"at least {GROWTH}",
                next_step="Wait backoff * 2**n, n = 0, 1, 2, with or without jitter.",
                **common,
            )
        elif alone > WAITS_MOST.limit and without > slack:
            yield Reason(
                f"The waits are longer than promised: {shown} on average, where "
                f"{', '.join(map(span, ideal))} is the most.",
                measured=f"{alone:.2f} x among four callers, {without:.2f} x in the crowd",
                budget=f"{WAITS_MOST}; {slack:g} x in the crowd",
                next_step="Count n from 0: the first wait is `backoff` at most.",
                **common,
            )
        else:
            yield Kept(4)


def _clip(stage: "Stage", *, flaky: bool) -> bytes:
    """Return a clip that the service fails at first, or one that it does not."""
    while True:
        clip = stage.rng.randbytes(stage.rng.randrange(200, 2000))
        if is_flaky(clip, 0.5) == flaky:
            return clip


def _busy(found: Few | None) -> bool:
    return found is not None and found.loop.busy > BUSY.limit


def blocked_in(known: "Stage | Judged") -> bool:
    """Whether the lab was found to block: what only shows on a free loop is left out then."""
    return _busy(known.found(Plain)) or _busy(known.found(Retried))


def nested(stage: "Stage") -> bool:
    """Whether a loop was run inside the running one: what follows would only pile loop upon loop."""
    seen = (stage.found(Plain), stage.found(Retried))
    return any(one is not None and one.loop.nested for one in seen)


def _worse(ending: Ending) -> tuple[bool, bool, float]:
    """Order endings of calls with a deadline; those that are not over are all alike."""
    late = ending.overdue
    return late, not ending.is_error("TimeoutError"), 0.0 if late else ending.seconds


def mean_waits(arrivals: Sequence[Sequence[float]], failures: int) -> list[float]:
    """Return the mean of each wait, over the callers that made all their requests."""
    whole = [times for times in arrivals if len(times) > failures]
    return (
        [fmean(times[n + 1] - times[n] for times in whole) for n in range(failures)]
        if whole
        else []
    )


def praise(judged: Judged) -> str:
    """Return the sentence of a pass."""
    crowd = judged.expect(Crowd)
    yours, shipped = crowd.yours, crowd.shipped
    return (
        f"{yours.flaky} callers waited to try again, and the loop was {span(yours.loop.lag_p99)} late "
        f"(p99; as shipped {span(shipped.loop.lag_p99)}). Callers who never had to retry took "
        f"{span(yours.healthy_p90)} (p90; as shipped {span(shipped.healthy_p90)})."
    )


CHECK = Check(
    scenes=(Plain(), Retried(), Refusals(), Hanging(), Endless(), Crowd()),
    praise=praise,
    leaves_nothing=8,
    connections=0,
)
