"""The versions of lesson 01's retry on the real upstream, verified by what the upstream counted."""

import asyncio
import inspect
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median

import pytest

from loopclinic.lessons.blocking_sleep import ladder
from loopclinic.servers import FaultyUpstream, transcript_of


@asynccontextmanager
async def service(**dials):
    """A running upstream and a session to it."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FaultyUpstream(**dials))
        session = await stack.enter_async_context(
            ladder.served(ladder.blocking, upstream.url).setup()
        )
        yield upstream, session


RUNGS = ladder.RUNGS


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.__name__)
async def test_healthy_once_and_flaky_three_times(rung):
    async with service(**ladder.DIALS) as (upstream, session):
        for group, requests in (("healthy", 1), ("flaky", 3)):
            before = (await upstream.counts()).requests
            text = await rung(session, ladder.clip_for(group))
            counts = await upstream.counts()
            assert counts.requests - before == requests
            assert len(text.split()) == len(transcript_of(b"").split())


async def test_only_the_blocking_rung_holds_the_loop():
    turns = {}
    async with service(**ladder.DIALS) as (_, session):
        for rung in (ladder.blocking, ladder.awaited) * 3:
            task = asyncio.create_task(rung(session, ladder.clip_for("flaky")))
            taken = turns.setdefault(rung.__name__, [])
            taken.append(0)
            while not task.done():
                taken[-1] += 1
                await asyncio.sleep(0.01)
            await task
    # Of three: an upstream that is slow to answer once gives turns to the blocking one, too.
    assert median(turns["awaited"]) > 2 * median(turns["blocking"])


async def test_bounded_ends_by_its_deadline(monkeypatch):
    monkeypatch.setattr(ladder, "DEADLINE", 0.05)
    async with service(hang=1.0) as (_, session):
        with pytest.raises(TimeoutError):
            await ladder.bounded(session, ladder.clip_for("healthy"))


def test_rungs_differ_by_a_few_lines_only():
    # They are shown side by side: one idea a rung.
    lines = [len(inspect.getsource(rung).splitlines()) for rung in RUNGS]
    assert max(lines) <= 10


def test_the_bound_is_a_callers_own_time():
    assert ladder.own_time("healthy") == ladder.LATENCY
    assert ladder.own_time("flaky") == pytest.approx(0.1 + 0.2 + 3 * ladder.LATENCY)
