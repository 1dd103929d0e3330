"""The line that kept the GIL, found from where the thread next stood: operators, then calls of every kind."""

import asyncio
import inspect
import sys
from types import ModuleType

import pytest

from loopclinic.probe.bytecode import at_entry, held_line, returned_line
from loopclinic.probe.stack import sample

LIST = list(range(5000))
OTHER = list(range(5000))
NUMBER = 7**20000
BYTES = bytes(9000)
SEEN: list = []
THIS = sys.modules[__name__]


def look():
    """Record the line that is found as the next function that is entered would see it."""
    caller = sys._getframe(1)
    SEEN.append(held_line(_Entered(caller)))


class _Entered:
    """A frame of a function that was entered only just now."""

    def __init__(self, caller):
        self.f_back = caller
        self.f_code = look.__code__
        self.f_lasti = next(
            offset
            for offset in range(0, 20, 2)
            if at_entry(type("At", (), {"f_code": look.__code__, "f_lasti": offset}))
        )


class Account:
    big = NUMBER

    @property
    def balance(self):
        look()
        return 1


ACCOUNT = Account()


async def power():
    x = 7**20000  # SLOW
    look()
    return x


async def product():
    x = NUMBER * (NUMBER - 1)  # SLOW
    small = 1
    small += 1
    look()
    return x, small


async def membership():
    found = -1 in LIST  # SLOW
    look()
    return found


async def comparison():
    same = LIST == OTHER  # SLOW
    look()
    return same


async def slices():
    x = LIST[:] + OTHER[1:]  # SLOW
    look()
    return x


async def octets():
    x = BYTES + BYTES  # SLOW
    look()
    return x


async def unpacking():
    x = [*LIST, *OTHER]  # SLOW
    look()
    return x


async def attribute():
    x = ACCOUNT.big - 1  # SLOW
    look()
    return x


async def before_an_await():
    x = NUMBER * (NUMBER - 1)  # SLOW
    await _looking()
    return x


async def _looking():
    SEEN.append(held_line(_Entered(sys._getframe(1))))


async def in_the_second_turn_of_a_loop():
    x = 0
    for factor in (NUMBER, NUMBER):
        look()
        x = factor * NUMBER  # SLOW
        look()
    return x


async def in_a_function_that_has_returned():
    _slow()  # SLOW
    look()


async def in_a_function_before_an_await_of_a_module():
    _slow()  # SLOW
    await THIS._looking()


def _slow():
    return NUMBER * NUMBER


@pytest.mark.parametrize(
    "handler",
    [
        power,
        product,
        membership,
        comparison,
        slices,
        octets,
        unpacking,
        attribute,
        before_an_await,
        in_the_second_turn_of_a_loop,
        in_a_function_that_has_returned,
        in_a_function_before_an_await_of_a_module,
    ],
    ids=lambda handler: handler.__name__,
)
def test_the_slow_line_is_found_from_the_entry_of_the_next_function(handler):
    SEEN.clear()
    asyncio.run(handler())
    frame, line = SEEN[-1]
    lines, first = inspect.getsourcelines(handler)
    assert frame.f_code is handler.__code__
    assert "# SLOW" in lines[line - first]


def test_the_line_that_calls_is_named_where_nothing_before_it_was_slow():
    def calls():
        look()

    SEEN.clear()
    calls()
    assert SEEN[0][1] == calls.__code__.co_firstlineno + 1


def test_what_came_before_an_earlier_call_is_not_looked_at():
    def calls():
        x = NUMBER * NUMBER
        look()
        look()
        return x

    SEEN.clear()
    calls()
    assert [line - calls.__code__.co_firstlineno for _, line in SEEN] == [1, 2]


def perf_counter():
    """Stand for the quick one of C."""
    SEEN.append(held_line(sys._getframe(1)))
    return len(SEEN)


def test_what_stands_before_a_loop_is_not_taken_for_its_later_turns():
    def spins():
        end = perf_counter() + 3
        while perf_counter() < end:
            pass

    SEEN.clear()
    spins()
    turns = {line - spins.__code__.co_firstlineno for _, line in filter(None, SEEN[2:])}
    assert len(SEEN) == 4
    assert turns <= {2, 3}


def test_a_module_with_the_name_of_a_quick_function_calls_none():
    names = {"time": ModuleType("time"), "print": lambda: None}
    names["time"].sleep = lambda: SEEN.append(held_line(sys._getframe(1)))
    exec("def sleeps():\n    print()\n    time.sleep()\n", names)
    SEEN.clear()
    names["sleeps"]()
    assert SEEN == [None]


async def returns():
    return NUMBER * (NUMBER - 1)


async def waits(future):
    x = NUMBER * (NUMBER - 1)
    await future
    return x


async def test_a_coroutine_that_has_returned_tells_its_slow_line():
    task = asyncio.create_task(returns())
    await task
    first = returns.__code__.co_firstlineno
    assert returned_line(task.get_coro()) == (returns.__code__, first + 1)


async def test_a_coroutine_that_waits_tells_the_slow_line_before():
    task = asyncio.create_task(waits(asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    found = returned_line(task.get_coro())
    task.cancel()
    assert found == (waits.__code__, waits.__code__.co_firstlineno + 1)


def test_what_is_not_written_in_python_tells_no_line():
    assert returned_line(len) is None
    assert returned_line(None) is None


def test_a_sample_of_a_held_gil_ends_at_the_line_that_kept_it():
    found = []

    def read():
        found.append(sample(_Entered(sys._getframe(1)), held=True))

    def handler():
        x = NUMBER * NUMBER
        read()
        return x

    handler()
    assert found[0].place == (__file__, handler.__code__.co_firstlineno + 1, "handler")
    assert found[0].frames[-1] == found[0].place


def test_a_function_that_was_only_just_entered_is_its_callers_line():
    found = []

    def read():
        found.append(sample(_Entered(sys._getframe(1))))

    def handler():
        read()

    handler()
    assert found[0].place == (__file__, handler.__code__.co_firstlineno + 1, "handler")
