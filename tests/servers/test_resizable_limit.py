"""The resizable limit and its queue, on a fake clock."""

import asyncio
import contextlib

import pytest

from loopclinic.servers.resizable_limit import ResizableLimit


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


class Guest:
    """Holds a place until told to leave."""

    def __init__(self, places, order, name):
        self.leave = asyncio.Event()
        self.task = asyncio.ensure_future(self.stay(places, order, name))

    async def stay(self, places, order, name):
        async with places:
            order.append(name)
            await self.leave.wait()


async def guests(places, names):
    order = []
    found = [Guest(places, order, name) for name in names]
    await settle()
    return order, found


async def test_who_finds_none_waits_in_order(clock):
    places = ResizableLimit(2, clock)
    order, (a, b, _c, _d) = await guests(places, "abcd")
    assert (order, places.held, places.waiting) == (["a", "b"], 2, 2)
    b.leave.set()
    await settle()
    assert order == ["a", "b", "c"]
    a.leave.set()
    await settle()
    assert order == ["a", "b", "c", "d"]
    assert (places.came, places.waited) == (4, 2)


async def test_more_places_let_in_and_fewer_come_into_force_as_they_are_given_back(clock):
    places = ResizableLimit(1, clock)
    order, found = await guests(places, "abcd")
    places.resize(3)
    await settle()
    assert order == ["a", "b", "c"]
    places.resize(1)
    found[0].leave.set()
    found[1].leave.set()
    await settle()
    assert (places.held, places.waiting) == (1, 1)
    places.resize(None)
    await settle()
    assert order == ["a", "b", "c", "d"]


async def test_seconds_held_are_exact(clock):
    places = ResizableLimit(3, clock)
    places.resize(3, counted=1)
    _, (a, b) = await guests(places, "ab")
    clock.now = 2.0
    a.leave.set()
    await settle()
    clock.now = 5.0
    b.leave.set()
    await settle()
    clock.now = 9.0
    seen = places.figures()
    assert seen["held_seconds"] == pytest.approx(2 + 5)
    assert seen["busy_seconds"] == pytest.approx(5)


@pytest.mark.parametrize("freed_first", [True, False])
async def test_who_gives_up_while_a_place_comes_free_keeps_none(clock, freed_first):
    places = ResizableLimit(1, clock)
    order, (a, b, c) = await guests(places, "abc")
    steps = [a.leave.set, b.task.cancel]
    for step in steps if freed_first else reversed(steps):
        step()
    with contextlib.suppress(asyncio.CancelledError):
        await b.task
    await settle()
    assert order == ["a", "c"]
    assert (places.held, places.waiting) == (1, 0)
    c.leave.set()
    await settle()
    assert places.held == 0


async def test_a_place_given_in_the_breath_of_a_cancel_is_given_back(clock):
    places = ResizableLimit(1, clock)
    _, (a, b) = await guests(places, "ab")
    a.leave.set()
    await asyncio.sleep(0)  # a leaves: b's place is set, b has not run yet
    b.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await b.task
    assert (places.held, places.waiting) == (0, 0)


async def test_a_waiter_that_was_cancelled_and_passed_over_is_no_error(clock):
    places = ResizableLimit(1, clock)
    _, (_a, b) = await guests(places, "ab")
    b.task.cancel()
    places.resize(2)  # looks at the line before b's task has run
    with pytest.raises(asyncio.CancelledError):
        await b.task
    assert places.waiting == 0
