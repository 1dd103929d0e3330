"""Many callers at once, of which some have to try again: what each gets, and what it costs."""

import asyncio
import threading
from collections.abc import Sequence
from random import Random
from statistics import fmean
from time import perf_counter
from types import ModuleType
from typing import Any

from aiohttp import ClientSession

from loopclinic.lessons.blocking_sleep import LESSON
from loopclinic.lessons.blocking_sleep.calls import Call, Watch, settle
from loopclinic.lessons.blocking_sleep.stalls import mean_lag, told
from loopclinic.probe import Probe
from loopclinic.servers import Upstream, is_flaky

__all__ = ["Crowd", "mean_waits"]

_sleep, _perf_counter = asyncio.sleep, perf_counter

_ARRIVE_WITHIN = (
    0.5  # seconds: all at one instant would be a burst, which lags without anybody's fault
)
_QUEUE = LESSON.budgets["queue"].limit
_SHARE = 0.5


class Crowd:
    """Makes crowds on the running loop, measured by `probe`, against one upstream."""

    def __init__(
        self, rng: Random, upstream: Upstream, session: ClientSession, probe: Probe
    ) -> None:
        self.rng = rng
        self.upstream = upstream
        self.session = session
        self.probe = probe
        self.threads = threading.active_count()

    async def run(
        self, lab: ModuleType, *, retrying: Sequence[bool], failures: int, backoff: float
    ) -> dict[str, Any]:
        """Let callers arrive one after another and wait until all are done, or clearly too late.

        `retrying` says of each, in their order, whether its first `failures` attempts fail.
        """
        await self.upstream.reset()
        await self.upstream.set(fail_first=failures, fail_share=_SHARE)
        due = [(self.clip(flaky=flaky), flaky) for flaky in retrying]
        nominal = [backoff * 2**n for n in range(failures)]
        mark = self.probe.snapshot()
        began = _perf_counter()
        calls: dict[Call, tuple[bool, float]] = {}
        pause = _ARRIVE_WITHIN / len(due)
        watch = Watch()
        async with watch:
            for number, (clip, flaky) in enumerate(due):
                # Latency counts from when a call was due: a stuck loop also starts callers late.
                when = began + number * pause
                if (early := when - _perf_counter()) > 0:
                    await _sleep(early)
                call = Call(
                    lab, self.session, clip, attempts=failures + 1, backoff=backoff, deadline=30.0
                )
                calls[call] = (flaky, when)
                watch.calls.append(call)
            endings = await settle(calls, _QUEUE * sum(nominal) + _ARRIVE_WITHIN)
        end = self.probe.snapshot()
        await _sleep(0)
        counts = await self.upstream.counts()
        stalls = [stall for stall in self.probe.stalls if stall.started >= mark.at]

        def seconds(wanted: bool) -> list[float]:
            return sorted(
                (call.ended or _perf_counter()) - when
                for call, (flaky, when) in calls.items()
                if flaky == wanted
            )

        slow, quick = seconds(wanted=True), seconds(wanted=False)
        waits = mean_waits([counts.arrivals_of(clip) for clip, flaky in due if flaky], failures)
        return {
            "callers": len(due),
            "flaky": sum(retrying),
            "nominal": sum(nominal),
            "flaky_p90": slow[int(len(slow) * 0.9)],
            "healthy_p90": quick[int(len(quick) * 0.9)],
            "waits": waits,
            "request": fmean(quick),
            "failures": failures,
            "ideal": nominal,
            "unfinished": sum(
                ending["how"] in ("unfinished", "running") for ending in endings.values()
            ),
            "wrong": sum(not ending.get("right", True) for ending in endings.values()),
            "failed": next((one for one in endings.values() if one["how"] == "raised"), None),
            "lag": mean_lag(mark, end),
            "lag_p99": end.since(mark).lag.p99,
            "threads": watch.threads - self.threads,
            "nested": watch.nested,
            "stall": told(stalls),
            "place": watch.place,
        }

    def clip(self, *, flaky: bool) -> bytes:
        """Return a clip that the upstream fails at first, or one that it does not."""
        while True:
            clip = self.rng.randbytes(self.rng.randrange(200, 2000))
            if is_flaky(clip, _SHARE) == flaky:
                return clip


def mean_waits(arrivals: Sequence[Sequence[float]], failures: int) -> list[float]:
    """Return the mean of each wait, first to last, over the callers that made all their requests."""
    complete = [times for times in arrivals if len(times) > failures]
    if not complete:
        return []
    return [fmean(times[n + 1] - times[n] for times in complete) for n in range(failures)]
