"""Check of lab 01: seven scenes with a speech-to-text service that is overloaded, fails or hangs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import ModuleType
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.blocking_sleep.check_calls import (
    PROMPT,
    Endless,
    Hanging,
    Plain,
    Refusals,
    Retried,
    Transcribing,
    blocked_in,
    mean_waits,
    nested,
)
from loopclinic.lessons.core import Budget, Calls, Check, Ending, Judged, Loop, Place
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.scene import Kept, Said
from loopclinic.lessons.core.verdicts import STILL_RUNNING, broke, nested_loop
from loopclinic.servers import is_flaky, transcript_of
from loopclinic.units import span
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

LAG = Budget(0.5, "x the lag of the file as shipped", "In the same run. A right answer: a tenth.")
QUEUE = Budget(3.0, "x a caller's own waits", "Nine in ten. Right 1; six threads for a hundred 10.")
THREADS = Budget(3, "new threads", "Waiting needs none. A thread a waiting caller means 6, or 100.")
WAITS_LEAST = Budget(0.25, "x backoff * 2**n, on average", "Full jitter gives half, no wait 0.")
WAITS_MOST = Budget(1.5, "x backoff * 2**n, on average", "Counting n from 1 instead of 0 gives 2.")
GROWTH = Budget(
    0.25,
    "x the growth of backoff * 2**n, from the first wait to the last",
    "Doubling gives 1, full jitter half of it; a constant wait gives 0.",
)
REST = Budget(2.5, "requests a caller", "In a fifth of the first wait. Jitter 1.2, no backoff 5.")


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


class Crowd(Transcribing):
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
        shipped = await self._arrive(stage.antipattern, stage, self.few, 1, 0.3)
        if blocked_in(stage):
            stage.step("ten callers, two of which have to try again")
            yours = await self._arrive(lab, stage, self.few, 1, 0.3)
        else:
            # A machine that is slow already gets fewer, so that the verdict comes in time.
            share = 1.0 if stage.in_time else 0.3
            flaky, healthy = (int(share * many) for many in self.many)
            stage.step(f"{flaky} callers that fail three times among {healthy} that do not")
            retrying = [True] * flaky + [False] * healthy
            stage.rng.shuffle(retrying)
            yours = await self._arrive(lab, stage, retrying, 3, 0.12)
            if yours.loop.lag > LAG.limit * shipped.loop.lag and stage.in_time:
                again = await self._arrive(lab, stage, retrying, 3, 0.12)
                yours = min(yours, again, key=lambda one: one.loop.lag)
        own = round(yours.flaky_p90 / sum(yours.ideal), 2)
        stage.vital(callers=yours.flaky + yours.healthy, retrying_p90_of_own_waits=own)
        stage.vital(new_threads=yours.loop.threads)
        for which, one in (("", yours), ("_as_shipped", shipped)):
            seconds = {"lag_mean": one.loop.lag, "lag_p99": one.loop.lag_p99}
            seconds["healthy_p90"] = one.healthy_p90
            stage.vital(**{f"{name}_ms{which}": round(1000 * s, 2) for name, s in seconds.items()})
        return self.Found(yours, shipped)

    async def _arrive(
        self,
        lab: ModuleType,
        stage: "Stage",
        retrying: Sequence[bool],
        failures: int,
        backoff: float,
    ) -> Arrived:
        await stage.dials(fail_first=failures, fail_share=0.5)
        flaky = {_clip(stage, flaky=one): one for one in retrying}
        ideal = [backoff * 2**n for n in range(failures)]
        options = {"attempts": failures + 1, "backoff": backoff, "deadline": 30.0}
        calls, due = Calls[bytes](), dict[bytes, float]()
        async with stage.watch_loop() as watch:
            began, pause = stage.clock(), self.within / len(flaky)
            for number, clip in enumerate(flaky):
                due[clip] = began + number * pause
                if (early := due[clip] - stage.clock()) > 0:
                    await stage.sleep(early)
                calls[clip] = self.call(lab, stage, clip, **options)
                watch.calls.append(calls[clip])
            endings = await calls.settled(QUEUE.limit * sum(ideal) + self.within)
        counts = await stage.upstream.counts()

        def seconds(wanted: bool) -> list[float]:
            return sorted(calls[clip].seconds(due[clip]) for clip in calls if flaky[clip] == wanted)

        slow, quick = seconds(wanted=True), seconds(wanted=False)
        raised = [one for one in endings if one.raised]
        pairs = zip(endings, calls.items(), strict=True)
        strange = [
            it for it, (clip, call) in pairs if it.returned and call.value != transcript_of(clip)
        ]
        flaky_p90, healthy_p90 = (one[int(len(one) * 0.9)] for one in (slow, quick))
        arrivals = [counts.arrivals_of(clip) for clip in flaky if flaky[clip]]
        waits, wrong = mean_waits(arrivals, failures), next(iter(raised + strange), None)
        many, request = (len(slow), len(quick)), fmean(quick)
        return Arrived(*many, flaky_p90, healthy_p90, request, ideal, waits, wrong, watch.found)

    def judge(self, found: "Crowd.Found", judged: Judged) -> Iterator[Said]:
        if blocked_in(judged):  # which is judged there, and decides everything here but results
            if found.yours.wrong is None:
                yield Kept(1)
            return
        yield from nested_loop((), found.yours.loop, promise=7)
        yours, loop = found.yours, found.yours.loop
        # The time of a request is nobody's wait, and a busy machine makes it longer for all alike.
        own = yours.flaky_p90 - (len(yours.ideal) + 1) * yours.request
        times = max(own, yours.healthy_p90) / sum(yours.ideal)
        queued, saturated = times > QUEUE.limit, loop.threads > THREADS.limit
        alone = not (queued or saturated)
        if saturated:
            behind = f", and took {times:.1f} times their own waits (p90)" if queued else ""
            said = f"{yours.flaky} callers that waited to try again took {loop.threads} new threads"
            said += f"{behind}: a thread can wait for one caller only, and there are few."
            step = "Wait without a thread: await asyncio.sleep(seconds)."
            conflict = "executor-saturation"
            more = {"measured": f"{loop.threads} new threads", "budget": str(THREADS)}
            yield broke(7, said, step, loop.waited, conflict=conflict, **more)
        elif queued:
            yield self._queued(yours, times)
        lag, stall = loop.lag / found.shipped.loop.lag, loop.stall
        conflict = (stall.conflict if stall else None) or "cpu-bound"
        many = yours.flaky + yours.healthy
        # Threads make a loop wait for its turn, too: that lag is reported once they are gone.
        if lag > LAG.limit and not (saturated and conflict == "cpu-bound"):
            code = f", by `{stall.place.code}` for one" if stall else ""
            said = f"Among {many} callers an event waited {span(loop.lag)} for the loop on average{code}."
            step = "Do less between two awaits, or do it outside the loop."
            shown = f"{lag:.2f} x the lag as shipped ({span(found.shipped.loop.lag)})"
            more = {"measured": shown, "budget": str(LAG)}
            yield broke(7, said, step, loop.place, conflict=conflict, timed=True, **more)
        elif alone and yours.healthy_p90 > PROMPT.limit:
            more = {"measured": span(yours.healthy_p90), "budget": span(PROMPT.limit)}
            said = f"Callers who never had to retry took {more['measured']} (p90), though the loop was "
            said += "free: they wait for those who do."
            step = "Let a caller wait for its own next attempt only: share no state between them."
            conflict = "sequential-awaits"
            yield broke(7, said, step, loop.waited, conflict=conflict, timed=True, **more)
        elif alone:
            yield Kept(7)
        if queued:
            return
        wrong = yours.wrong
        if wrong is None:
            yield Kept(1)
        elif not judged.breaks(1):
            what = str(wrong) if wrong.raised else "got another caller's text"
            said = f"Among {many} callers at once, one {what}."
            step = "Share nothing between calls but the session."
            yield broke(1, said, step, wrong.place if wrong.raised else loop.waited)
        if wrong is None or wrong.returned:
            yield from self._waits(yours, judged)

    @staticmethod
    def _queued(found: Arrived, times: float) -> Reason:
        """Return why callers took so many times their own waits: they sleep, or wait for each other."""
        place, who = found.loop.waited, f"nine in ten of {found.flaky} took up to {times:.1f} times"
        more: dict[str, Any] = {"measured": f"{times:.1f} x", "budget": str(QUEUE), "timed": True}
        if place is not None and "sleep(" in place.code:
            said = f"Callers sleep for too long: {who} their own waits."
            step = "Count n from 0 in each call, and let each wait be twice the one before at most."
            return broke(4, said, step, place, **more)
        said = f"Callers wait for each other: {who} their own waits, though the loop was free."
        step = "Hold no lock, semaphore or queue while you wait to try again."
        return broke(7, said, step, place, conflict="sequential-awaits", **more)

    def _waits(self, found: Arrived, judged: Judged) -> Iterator[Said]:
        few, endless = judged.expect(Retried), judged.found(Endless)
        waits, ideal = found.waits, found.ideal
        if not waits or endless is None:
            return  # nobody got that far: `results` says so
        early = 0.0 if judged.has("swallowed-cancellation") else endless.requests
        # Measured between a clip's arrivals, requests included: a slow machine never makes it shorter.
        share, shown = sum(waits) / sum(ideal), ", ".join(map(span, waits))
        grown = (waits[-1] - waits[0]) / (ideal[-1] - ideal[0])
        # A slow machine makes waits longer, too, but not twice in the same way: with the requests' own
        # time among four callers, and without it in a crowd.
        alone = sum(few.waits) / few.loop.alone
        without = share - len(waits) * found.request / sum(ideal)
        slack = (1 + WAITS_MOST.limit) / 2
        conflict: str | None = "retry-storm"
        if share < WAITS_LEAST.limit or early > REST.limit:
            said = f"The service got no rest: {found.flaky} callers came back after {shown} on average, "
            said += f"and with a backoff of 2 s a caller sent {early:.1f} requests in 400 ms."
            step = "Wait between attempts, twice as long each time, with jitter."
            measured, budget = f"{early:.1f} requests a caller", str(REST)
            if share < WAITS_LEAST.limit:
                measured, budget = f"{share:.2f} x backoff * 2**n", f"at least {WAITS_LEAST}"
        # Where a request takes as long as a wait, the service's queue is what the gaps show.
        elif grown < GROWTH.limit and found.request < ideal[1]:
            said = f"The waits do not grow: {shown} on average."
            measured, budget = f"{grown:.2f} x", f"at least {GROWTH}"
            step = "Wait backoff * 2**n, n = 0, 1, 2, with or without jitter."
        elif alone > WAITS_MOST.limit and without > slack:
            said = f"The waits are longer than promised: {shown} on average, where "
            said += f"{', '.join(map(span, ideal))} are promised at most."
            measured, budget = f"{alone:.2f} x backoff * 2**n among four callers", str(WAITS_MOST)
            conflict = None
            step = "Let each wait be twice the one before at most."
            if waits[0] > slack * ideal[0]:
                step = "Count n from 0 in each call: the first wait is `backoff` at most."
        else:
            yield Kept(4)
            return
        more = {"measured": measured, "budget": budget, "conflict": conflict}
        yield broke(4, said, step, found.loop.waited, timed=True, **more)


class Beside(Transcribing):
    """Calls beside others that fail, or that wait for seconds."""

    title, promises = "calls beside others that fail, or that wait for seconds", (7,)
    failing, waiting, healthy = 60, 3, 5

    @dataclass(frozen=True, slots=True)
    class Found:
        """The worst of the calls that the service answers at once."""

        ending: Ending
        place: Place | None
        """Where it waited most."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> "Beside.Found | None":
        if nested(stage) or blocked_in(stage):
            return None
        await stage.dials(status=503, status_for="fails")
        fails: dict[str, Any] = {"kind": b"fails", "attempts": 2}
        waiting = self.calls(lab, stage, self.waiting, backoff=5.0, deadline=60.0, **fails)
        await self.calls(lab, stage, self.failing, backoff=0.01, **fails).settled(1.0)
        endings, loop = await stage.watched(self.calls(lab, stage, self.healthy), PROMPT.limit)
        await waiting.settled(0)
        worst = max(endings, key=lambda one: (not one.returned, one.seconds))
        return self.Found(worst, loop.waited)

    def judge(self, found: "Beside.Found", judged: Judged) -> Iterator[Said]:
        ending, others = found.ending, self.failing + self.waiting
        if ending.returned:
            yield Kept(7)
        elif not judged.breaks(1, 7):
            said = f"{others} callers failed or waited to try again, and a call beside them that the service answers at once {ending}."
            step = "Share no state between callers: what became of one says nothing of another."
            more: dict[str, Any] = {"timed": ending.overdue}
            if ending.overdue:
                more |= {"conflict": "sequential-awaits", "budget": span(PROMPT.limit)}
                more["measured"] = f"{STILL_RUNNING}{span(ending.seconds)}"
            yield broke(7, said, step, ending.place or found.place, **more)


def _clip(stage: "Stage", *, flaky: bool) -> bytes:
    """Return a clip that the service fails at first, or one that it does not."""
    while is_flaky(clip := stage.rng.randbytes(stage.rng.randrange(200, 2000)), 0.5) != flaky:
        pass
    return clip


def praise(judged: Judged) -> str:
    """Return the sentence of a pass."""
    crowd = judged.expect(Crowd)
    yours, shipped = crowd.yours, crowd.shipped
    return (
        f"{yours.flaky} callers waited to try again, and the loop was {span(yours.loop.lag_p99)} late "
        f"(p99; as shipped {span(shipped.loop.lag_p99)}). Callers who never had to retry took "
        f"{span(yours.healthy_p90)} (p90; as shipped {span(shipped.healthy_p90)})."
    )


SCENES = (Plain(), Retried(Crowd), Refusals(), Hanging(), Endless(), Crowd(), Beside())
CHECK = Check(scenes=SCENES, praise=praise, leaves_nothing=8, connections=0)

FIGURES = (Figure("retrying_p90_of_own_waits", "Retrying takes (p90)", "x the waits", 0.89, 1.1),)
