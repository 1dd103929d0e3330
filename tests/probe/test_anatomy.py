"""How a stall's time is attributed to lines, on real loops with stalls of known length."""

import asyncio
import inspect
import time

import pytest

from loopclinic.probe import Probe

SECONDS = 0.2
LIST = list(range(2_000_000))
OTHER = list(range(2_000_000))
NUMBER = 7**600_000
BYTES = bytes(400_000_000)


class Account:
    @property
    def balance(self):
        return 1


ACCOUNT = Account()


def entered():
    return ACCOUNT.balance


async def two_sleeps():
    time.sleep(0.3)
    time.sleep(0.6)


async def a_sleep_then_a_computation():
    time.sleep(0.2)
    _compute(0.4)


async def ten_queries():
    for _ in range(10):
        _query(0.03)
        _render(0.02)


def _compute(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def _query(seconds):
    time.sleep(seconds)


def _render(seconds):
    time.sleep(seconds)


def shares(stall):
    """Return the seconds of each line by its text; a computation's lines stand for one."""
    found = {}
    for share in stall.lines:
        name = "compute" if share.function == "_compute" else share.code or share.function
        if name == "time.sleep(seconds)":
            name = share.function
        found[name] = found.get(name, 0.0) + share.seconds
    return found


def measured(handler, policy=asyncio.run):
    async def main():
        with Probe() as probe:
            await asyncio.sleep(0.1)
            await asyncio.create_task(handler())
            await asyncio.sleep(0.1)
        return probe.report()

    return policy(main())


@pytest.mark.alone(wakes=True)
@pytest.mark.parametrize(
    ("handler", "lines"),
    [
        (two_sleeps, {"time.sleep(0.3)": 0.3, "time.sleep(0.6)": 0.6}),
        (a_sleep_then_a_computation, {"time.sleep(0.2)": 0.2, "compute": 0.4}),
        (ten_queries, {"_query": 0.3, "_render": 0.2}),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_each_line_has_its_true_length(handler, lines):
    stall = max(measured(handler).stalls, key=lambda one: one.seconds)
    found = shares(stall)
    for name, seconds in lines.items():
        assert found[name] == pytest.approx(seconds, rel=0.2, abs=0.04)
    assert stall.callback.startswith(handler.__name__)


@pytest.mark.alone
def test_two_handlers_of_one_iteration_are_told_apart():
    async def charge():
        time.sleep(0.15)

    async def refund():
        time.sleep(0.3)

    async def both():
        await asyncio.gather(charge(), refund())

    stalls = measured(both).stalls
    found = {one.name.partition(" ")[0]: one.seconds for one in stalls[0].handlers}
    assert found["charge"] == pytest.approx(0.15, rel=0.2, abs=0.04)
    assert found["refund"] == pytest.approx(0.3, rel=0.2, abs=0.04)


async def power():
    x = 7**700_000  # SLOW
    entered()
    return x


async def product():
    x = NUMBER * (NUMBER - 1)  # SLOW
    small = 1
    small += 1
    ACCOUNT.balance  # noqa: B018 - a property that is entered next
    return x, small


async def membership():
    found = [-1 in LIST, -2 in LIST, -3 in LIST, -4 in LIST]  # SLOW
    entered()
    return found


async def comparison():
    same = LIST == OTHER and OTHER == LIST and LIST == OTHER and OTHER == LIST  # SLOW
    entered()
    return same


async def slices():
    x = LIST[:] + OTHER[1:] + LIST[2:] + OTHER[3:] + LIST[4:] + LIST[:]  # SLOW
    entered()
    return len(x)


async def octets():
    x = BYTES + BYTES  # SLOW
    entered()
    return len(x)


async def then_an_await():
    x = NUMBER * (NUMBER - 1)  # SLOW
    await asyncio.sleep(0)
    return x


async def then_a_return():
    return NUMBER * (NUMBER - 1)  # SLOW


@pytest.mark.prove
@pytest.mark.alone
@pytest.mark.parametrize(
    "handler",
    [power, product, membership, comparison, slices, octets, then_an_await, then_a_return],
    ids=lambda handler: handler.__name__,
)
def test_the_operator_that_kept_the_gil_is_named(handler):
    stall = max(measured(handler).stalls, key=lambda one: one.seconds)
    lines, first = inspect.getsourcelines(handler)
    assert "# SLOW" in lines[stall.line - first], f"{stall}"
    assert stall.function == handler.__name__
    assert stall.conflict == "cpu-bound"


@pytest.mark.prove
@pytest.mark.alone
@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_hold_of_another_thread_is_found_every_time(kind):
    policy = pytest.importorskip(kind).run
    holds = []

    def crunch():
        began = time.perf_counter()
        NUMBER * (NUMBER - 1)
        NUMBER * (NUMBER - 2)  # a chance to let go of the GIL comes only after both
        holds.append(time.perf_counter() - began)

    async def several():
        for _ in range(5):
            work = asyncio.create_task(asyncio.to_thread(crunch))
            for _ in range(10):
                await asyncio.sleep(0.01)
            await work
            await asyncio.sleep(0.1)

    stalls = [one for one in measured(several, policy).stalls if one.seconds > min(holds) / 2]
    assert len(stalls) == 5
    assert all(one.gil_held for one in stalls)
    for stall, seconds in zip(stalls, holds, strict=True):
        assert stall.seconds == pytest.approx(seconds, rel=0.2, abs=0.04)
