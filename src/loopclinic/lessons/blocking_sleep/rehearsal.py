"""Drives a lab's `transcribe` through a day of an overloaded service, and reports what happened.

Everything that can be asked of the service is asked of it: the lab's word counts for results only.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import aiohttp

from loopclinic.lessons.blocking_sleep import LESSON
from loopclinic.lessons.blocking_sleep.calls import Call, Watch, settle
from loopclinic.lessons.blocking_sleep.crowd import mean_waits
from loopclinic.lessons.blocking_sleep.stalls import told
from loopclinic.lessons.blocking_sleep.surroundings import Surroundings
from loopclinic.lessons.lesson import Stage
from loopclinic.lessons.offload import small_machine
from loopclinic.probe import Probe
from loopclinic.servers import Upstream

__all__ = ["rehearse"]

_sleep, _thread_time, _perf_counter = asyncio.sleep, time.thread_time, time.perf_counter

_STALL = 0.02
_BUSY = LESSON.budgets["busy"].limit
"""Share of the time: from here on, what can only be shown on a free loop is left out."""
_LAG, _CANCEL, _DEADLINE = (LESSON.budgets[name].limit for name in ("lag", "cancel", "deadline"))
_CROWD, _HEALTHY = 100, 30
_FEW = [False, False, True, False, False, False, True, False, False, False]
"""Whether each of ten callers has to try again: those that come after pay for it."""


async def rehearse(lab: ModuleType, stage: Stage) -> None:
    """Run the whole rehearsal; about six seconds for a lab that keeps its contract."""
    upstream = Upstream(stage.services["faulty_upstream"])
    # No limits of the session's own: whatever bounds the callers is the lab's doing.
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    with small_machine():
        async with aiohttp.ClientSession(
            upstream.url, connector=connector, timeout=timeout
        ) as session:
            with Probe(threshold=_STALL) as probe:
                await _Rehearsal(lab, stage, upstream, session, probe).run()


class _Rehearsal(Surroundings):
    async def run(self) -> None:
        await self.warm_up()
        plain = await self.plain()
        retried = await self.retried()
        if self.nested:
            return  # whatever follows would only pile loop upon loop
        blocked = max(plain, retried) > _BUSY
        await self.refused(blocked=blocked)
        if plain <= _BUSY:
            # A lab that blocks in the request itself would hang with the service, and for good.
            await self.hanging()
        if not blocked:
            await self.endless()
        await self.crowds(blocked=blocked)

    # Behavior, one call or a few at a time.

    async def plain(self) -> float:
        self.stage.step("two calls that succeed at once")
        await self.dials(latency=0.2)
        return await self.quiet("plain", 2, idle=0.2, backoff=2.0)

    async def retried(self) -> float:
        self.stage.step("four calls that fail twice and then succeed")
        await self.dials(fail_first=2)
        return await self.quiet("retried", 4, idle=0.3, backoff=0.1)

    async def quiet(self, name: str, count: int, *, idle: float, backoff: float) -> float:
        """Make these calls together; return the loop's busy share of a time that could be idle.

        That time is `idle` seconds at least: calls that do not wait at all are judged elsewhere.
        What looks busy is tried once more: a machine that stumbles does so once, a lab each time.
        """
        found = await self.quiet_once(count, idle, backoff)
        # Calls that were busy one after another leave no doubt.
        doubtful = found["busy"] > _BUSY and found["seconds"] < 1.8 * idle
        if doubtful and not found["nested"]:
            again = await self.quiet_once(count, idle, backoff)
            found = min(found, again, key=lambda one: one["busy"])
        self.nested = self.nested or found["nested"]
        self.stage.fact(name, found)
        return float(found["busy"])

    async def quiet_once(self, count: int, idle: float, backoff: float) -> dict[str, Any]:
        clips = self.clips(count)
        mark, cpu = self.probe.snapshot(), _thread_time()
        calls = [self.call(clip, backoff=backoff) for clip in clips]
        async with Watch(calls) as watch:
            endings = await settle(calls, 2.5)
        span = self.probe.snapshot().since(mark)
        spent = (span.utilization or 0.0) * span.seconds
        busy = spent / max(span.seconds, idle)
        await _sleep(0)
        stalls = [stall for stall in self.probe.stalls if stall.started >= mark.at]
        counts = await self.upstream.counts()
        return {
            "endings": list(endings.values()),
            "right": [ending.get("right", False) for ending in endings.values()],
            "requests": [len(counts.arrivals_of(clip)) for clip in clips],
            "alone": idle,
            "waits": mean_waits([counts.arrivals_of(clip) for clip in clips], 2),
            "seconds": span.seconds,
            "busy": busy,
            "cpu": (_thread_time() - cpu) / max(spent, 1e-6),
            "stall": told(stalls),
            "place": watch.place,
            "nested": watch.nested,
        }

    async def refused(self, *, blocked: bool) -> None:
        """Calls that can't succeed."""
        self.stage.step("a call that the service refuses for good")
        status = self.stage.rng.choice([400, 401, 404, 413, 422])
        await self.dials(status=status)
        await self.failing("permanent", 1, cap=1.5, backoff=0.02, status=status)
        self.stage.step("a call that is answered 429 each time")
        await self.dials(status=429)
        await self.failing("busy_service", 1, cap=1.5, backoff=0.02, attempts=3)
        self.stage.step("a call whose connection breaks each time")
        await self.dials(refuse=1.0)
        await self.failing("broken", 1, cap=1.5, backoff=0.02, attempts=3)
        self.stage.step("a call with one attempt, which fails")
        await self.dials(status=503)
        # Several, because a jittered wait after the last attempt may be short by chance.
        count, backoff = (1, 1.0) if blocked else (4, 3.0)
        await self.failing("last", count, cap=1.0, backoff=backoff, attempts=1)

    async def failing(
        self, name: str, count: int, *, cap: float, status: int = 0, **options: float
    ) -> None:
        clips = self.clips(count)
        calls = [self.call(clip, **options) for clip in clips]
        async with Watch(calls) as watch:
            endings = await settle(calls, cap)
        counts = await self.upstream.counts()
        worst = max(endings.values(), key=lambda ending: float(ending["seconds"]))
        self.stage.fact(
            name,
            {
                "ending": worst,
                "requests": max(len(counts.arrivals_of(clip)) for clip in clips),
                "status": status,
                "place": watch.place,
            },
        )

    async def hanging(self) -> None:
        self.stage.step(
            "calls to a service that never answers: some have a deadline, some are cancelled"
        )
        await self.dials(hang=1.0)
        bounded = self.calls(3, deadline=0.5, attempts=4, backoff=0.05)
        doomed = self.calls(3, deadline=60.0, attempts=10, backoff=0.02)
        await _sleep(0.15)
        await self.cancel("cancelled_request", doomed)
        await self.deadlines("hanging", bounded, 0.5)

    async def endless(self) -> None:
        self.stage.step(
            "calls to a service that always fails: some have a deadline, some are cancelled"
        )
        await self.dials(status=503)
        # The first wait alone is five deadlines long; a dozen, because jitter may make it short.
        bounded = self.calls(12, deadline=0.4, attempts=5, backoff=2.0)
        doomed = self.calls(5, deadline=60.0, attempts=10, backoff=3.0)
        await _sleep(0.2)
        await self.cancel("cancelled_wait", doomed)
        await self.deadlines("endless", bounded, 0.4)

    async def deadlines(self, name: str, calls: Sequence[Call], deadline: float) -> None:
        """Wait for calls that should be over after `deadline` seconds, and no longer than is allowed."""
        left = max(0.0, _DEADLINE * deadline - (_perf_counter() - calls[0].began))
        async with Watch(calls) as watch:
            endings = await settle(calls, left)
        worst = max(endings.values(), key=_rank)
        counts = await self.upstream.counts()
        requests = sum(len(counts.arrivals_of(call.clip)) for call in calls)
        self.stage.fact(
            name,
            {
                "deadline": deadline,
                "requests": requests / len(calls),
                "ending": worst,
                "place": worst["place"] or watch.place,
            },
        )

    async def cancel(self, name: str, calls: Sequence[Call]) -> None:
        """Cancel these calls, and ask the service whether that reached it."""
        calls = [call for call in calls if not call.task.done()]
        if not calls:
            return  # all gave up before: that is judged elsewhere
        place = Call.waits_at(calls)
        endings = await Call.end(calls, _CANCEL)
        # What was on its way when the call was cancelled may still arrive; nothing after that.
        await _sleep(0.05)
        before = await self.upstream.counts()
        await _sleep(0.15)
        after = await self.upstream.counts()
        stubborn = [call for call in calls if not call.task.done()]
        worst = max(endings, key=lambda one: (one["how"] != "cancelled", one["seconds"]))
        self.stage.fact(
            name,
            {
                "ending": worst,
                "requests_after": sum(
                    len(after.arrivals_of(call.clip)) - len(before.arrivals_of(call.clip))
                    for call in calls
                ),
                "left": after.disconnects,
                "calls": len(calls),
                "place": worst["place"] or place,
            },
        )
        if stubborn:
            await settle(stubborn, 0)

    # Budget, with many at once.

    async def crowds(self, *, blocked: bool) -> None:
        self.stage.step("ten callers of the file as shipped, for comparison")
        crowd = self.crowd
        few: dict[str, Any] = {"retrying": _FEW, "failures": 1, "backoff": 0.3}
        shipped = await crowd.run(self.stage.antipattern, **few)
        if blocked:
            self.stage.step("ten callers, two of which have to try again")
            yours = await crowd.run(self.lab, **few)
        else:
            # A machine that is slow already gets fewer, so that the verdict comes in time.
            share = 1.0 if self.in_time() else 0.3
            flaky, healthy = int(_CROWD * share), int(_HEALTHY * share)
            self.stage.step(f"{flaky} callers that fail three times among {healthy} that do not")
            retrying = [True] * flaky + [False] * healthy
            self.stage.rng.shuffle(retrying)
            many: dict[str, Any] = {"retrying": retrying, "failures": 3, "backoff": 0.12}
            yours = await crowd.run(self.lab, **many)
            if yours["lag"] > _LAG * shipped["lag"] and self.in_time():
                yours = min(yours, await crowd.run(self.lab, **many), key=_lag)
        self.stage.fact("shipped", shipped)
        self.stage.fact("crowd", yours)
        self.stage.fact(
            "vitals",
            {
                "callers": yours["callers"],
                "lag_mean_ms": round(yours["lag"] * 1000, 2),
                "lag_mean_ms_as_shipped": round(shipped["lag"] * 1000, 2),
                "lag_p99_ms": round(yours["lag_p99"] * 1000, 1),
                "lag_p99_ms_as_shipped": round(shipped["lag_p99"] * 1000, 1),
                "healthy_p90_ms": round(yours["healthy_p90"] * 1000, 1),
                "healthy_p90_ms_as_shipped": round(shipped["healthy_p90"] * 1000, 1),
                "retrying_p90_of_own_waits": round(yours["flaky_p90"] / yours["nominal"], 2),
                "new_threads": yours["threads"],
            },
        )


def _rank(ending: Mapping[str, Any]) -> tuple[bool, bool, float]:
    in_time = ending["how"] == "raised" and "TimeoutError" in ending["error"]
    return ending["how"] in ("unfinished", "running"), not in_time, ending["seconds"]


def _lag(crowd: Mapping[str, Any]) -> float:
    return float(crowd["lag"])
