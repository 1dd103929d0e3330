"""A stall in the first callback of a loop, before anything has been seen of it, in the last, and after a rest."""

import sys

import pytest

from tests.runner.conftest import line_of

FIRST = """
import asyncio, sys, time

BIG = (1 << 3_400_000) - 1

def sleep():
    time.sleep(0.3)  # sleep

def compute():
    end = time.perf_counter() + 0.3
    while time.perf_counter() < end:  # compute
        pass

def operate():
    return BIG * (BIG - 1)  # operate

def call():
    return sum(range(20_000_000))  # call

def factory():
    if sys.argv[2] == "uvloop":
        import uvloop
        return uvloop.new_event_loop()
    return asyncio.new_event_loop()

async def main():
    if sys.argv[3] == "rested":
        await asyncio.sleep(0.8)
    globals()[sys.argv[1]]()

async def rest():
    await asyncio.sleep(0.02)

with asyncio.Runner(loop_factory=factory) as runner:
    if sys.argv[3] == "again":
        runner.run(rest())
        time.sleep(0.2)  # nobody's loop runs
    runner.run(main())
    time.sleep(0.2)
"""
HELD = ("operate", "call")
ROWS = [
    (kind, loop, which)
    for kind in ("sleep", "compute", *HELD)
    for loop in ("asyncio", "uvloop")
    for which in ("first", "again", "rested")
]
EVERY_TIME = [
    ("operate", "asyncio", "first"),
    ("sleep", "uvloop", "again"),
    ("sleep", "uvloop", "rested"),
]


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="who keeps the GIL is read on Linux only")
@pytest.mark.parametrize(
    ("kind", "loop", "which"),
    [
        pytest.param(*row, marks=[] if row in EVERY_TIME else [pytest.mark.prove], id=" ".join(row))
        for row in ROWS
    ],
)
def test_the_only_callback_of_a_loop_is_its_stall(watched, kind, loop, which):
    done = watched(FIRST, kind, loop, which)
    assert done.status == 0, done.err
    (stall,) = [one for loop in done.review["loops"] for one in loop["stalls"]]
    assert stall["line"] == line_of(FIRST, f"# {kind}")
    assert stall["conflict"] == ("blocking-sleep" if kind == "sleep" else "cpu-bound")
    assert stall["gil_held"] == (kind in HELD)
    assert stall["seconds"] > 0.15
    assert stall["first_seen"] < stall["seconds"] / 2, "while it lasted"
    assert done.review["unwatched"] == []
