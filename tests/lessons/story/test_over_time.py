"""Sampling tasks and memory of a piece of work, how it ends, and what runs past its time limit."""

import asyncio

import pytest

from loopclinic.lessons.story.over_time import Watched, over_time, watched


async def many():
    """Hold fifty tasks for a while."""
    await asyncio.gather(*(asyncio.sleep(0.5) for _ in range(50)))
    return "done"


async def test_tasks_are_counted_beyond_those_before():
    found = await watched(many(), every=0.02)
    assert 50 <= found.tasks <= 53
    assert found.ended == "returned 'done'"


async def test_what_is_not_done_in_time_goes_on():
    gate = asyncio.Event()
    found = await watched(gate.wait(), seconds=0.05)
    assert "not done" in found.ended
    gate.set()


async def test_an_error_and_a_cancel_are_told():
    async def broken():
        raise LookupError("gone")

    assert (await watched(broken())).ended == "raised LookupError: gone"
    inner = asyncio.Event()

    async def endless():
        try:
            await asyncio.sleep(60)
        finally:
            inner.set()

    task = asyncio.create_task(watched(endless()))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(inner.wait(), 5)


def test_each_row_is_a_line_in_both_charts():
    held = Watched([(0.0, 1, 0.0), (1.0, 90_000, 120.0)], 1.0, "returned None")
    drawn = over_time(("all", held), ("few", held._replace(series=[(0.0, 20, 0.0)])))
    assert str(drawn) == "all\nfew"
    assert drawn.html.count("<path") == 2 * 2  # for a wide page and a narrow one
    assert ">100,000</text>" in drawn.html
