"""Experiments of notebook 01: who waited, what other tools report, synchronized retries, how callers end."""

import asyncio
import atexit
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from math import ceil, floor, log10
from random import Random
from typing import Any

import aiohttp

from loopclinic.drawing.charts import COLORS, Series, Strip, columns, seconds, strips
from loopclinic.drawing.tables import Cell, Drawing, code, span, table
from loopclinic.lessons.blocking_sleep import LESSON
from loopclinic.lessons.blocking_sleep.ladder import DIALS, Transcribe
from loopclinic.lessons.core import Call
from loopclinic.lessons.story.other_tools import debug_run, linter, load_shipped, of_scope, opinions
from loopclinic.load.vitals import Vitals
from loopclinic.probe import Stall
from loopclinic.servers import FaultyUpstream, Upstream
from loopclinic.units import count

CALLERS = 40
_GROUPS = (("healthy", "did not retry", "refused"), ("flaky", "retried", "blue"))

_SERVICE = FaultyUpstream()
atexit.register(_SERVICE.close)


async def service() -> Upstream:
    """Return the service, started at the first call: it turns flaky clips away twice, then answers."""
    upstream = (await _SERVICE.start_async()).given()
    await upstream.reset()
    await upstream.set(**DIALS)
    return upstream


def victims(vitals: Vitals, *, alone: float) -> Drawing:
    """Draw a dot for each caller, at the time it waited; `alone` is what a request takes by itself.

    `vitals` has the groups `healthy` and `flaky`; times in seconds.
    """
    healthy = vitals.groups["healthy"]
    sentence = f"{len(healthy.samples)} callers did not retry. Half "
    sentence += f"of them waited {span(healthy.p50)} or more, the last "
    sentence += f"{span(healthy.max)}. By itself, each takes about {span(alone)}."
    low = floor(log10(min(alone, vitals.latency.samples[0])) * 2) / 2
    high = max(ceil(log10(vitals.latency.max) * 2) / 2, low + 1)
    rng = Random(1)  # noqa: S311 - spreads dots
    rows = []
    for group, name, color in _GROUPS:
        if group in vitals.groups and (samples := vitals.groups[group].samples):
            points = [(max(sample, 1e-9), rng.uniform(0.1, 0.9)) for sample in samples]
            dots = Series(points, COLORS[color], line=False, dots=True)
            rows.append(Strip(f"{len(samples)} callers {name}", [dots], top=1, height=38))
    svg = strips(
        rows,
        low=10**low,
        high=10**high,
        ticks=[10.0**power for power in range(ceil(low), floor(high) + 1)],
        label="from when the request was due to its answer (log scale), a dot a caller",
        log=True,
        grid=True,
        marks=[(alone, f"alone: {span(alone)}")],
        title=sentence,
        write=seconds,
    )
    return Drawing(f"<p>{sentence}</p>{svg}", sentence)


async def herd(*ways: Transcribe) -> Drawing:
    """Let 40 callers fail together, each way, and draw when they come back, as the service saw it.

    The service sends everybody away once; then it serves four requests at a time, 20 ms each, and
    answers one more by 429.
    """
    charts = []
    async with FaultyUpstream() as upstream:
        for way in ways:
            await upstream.reset()
            await upstream.set(capacity=4, latency=0.02, fail_first=1, retry_after=0)
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(upstream.url, connector=connector) as session:
                clips = [f"{way.__name__} {number}".encode() for number in range(CALLERS)]
                calls = (way(session, clip) for clip in clips)
                found = await asyncio.gather(*calls, return_exceptions=True)
            counts = await upstream.counts()
            moments = sorted(moment for times in counts.arrivals.values() for moment in times)
            ticks = Counter(int((moment - moments[0]) / 0.01) for moment in moments)
            later = Counter(tick // 2 for tick in ticks.elements() if tick > 4)  # the start
            gave_up = sum(isinstance(one, BaseException) for one in found)
            busiest, refused = max(later.values(), default=0), counts.by_status.get(429, 0)
            words = f"{way.__name__}: {len(moments)} requests for {CALLERS} callers, {refused} "
            words += f"of them refused; up to {busiest} retries within 20 ms; "
            words += f"{count(gave_up, 'caller')} gave up."
            charts.append((words, {"request": ticks}))
    return columns("requests", *charts)


async def endings(*ways: Transcribe, patience: float = 3.0) -> Drawing:
    """Say how each way ends when the service never answers, and when its caller cancels it.

    A call that is not done after `patience` seconds is ended.
    """

    async def ended(way: Transcribe) -> list[str | Cell]:
        silent = await Call(lambda: way(session, b"clip")).settled(patience)
        call = Call(lambda: way(session, b"clip"))
        await asyncio.sleep(0.05)
        gone = await call.cancelled(patience)
        how = silent.error[0] if silent.raised else "still waiting"
        within = "goes on" if gone.overdue else f"ends within {span(gone.seconds)}"
        return [code(way.__name__), f"{how} after {span(silent.seconds)}", within]

    async with FaultyUpstream(hang=1.0) as upstream, aiohttp.ClientSession(upstream.url) as session:
        rows = await asyncio.gather(*map(ended, ways))
    return table(["", "the service never answers", "the caller cancels"], rows)


# Diagnosis.


async def run_shipped() -> None:
    """Run the lab as shipped with two attempts, at a port on which nothing listens."""
    lab = load_shipped(LESSON)
    async with aiohttp.ClientSession("http://127.0.0.1:9") as session:
        with suppress(lab.TranscriptionError):
            await lab.transcribe(session, b"clip", attempts=2, backoff=0.5)


async def diagnose(function: Callable[..., Any], stall: Stall | None = None) -> Drawing:
    """Run each tool on the lab as shipped, and the linter on `function` too; quote what they say.

    `stall` is one that the scope saw, for the last line. Takes about two seconds.
    """
    found, cell, file = await asyncio.gather(
        debug_run(run_shipped, dump_after=0.3),
        linter(function, "a direct call, at once", "-"),
        linter(LESSON, "-", "the same sleep, one ordinary function deeper"),
    )
    graph = found.cpu_graph("that nobody was served")
    slow = found.debug_mode("the task, and how long", "the line; it speaks afterwards")
    dump = found.stack_dump("a stall that is over when you ask")
    file = file._replace(says=f"{file.says}\nand nothing about a sleep")
    return opinions(graph, slow, dump, cell, file, of_scope(stall, "what did not run"))
