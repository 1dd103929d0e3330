"""Calls of a lab: how each ended and where it stood."""

import asyncio
import contextlib

import pytest

from loopclinic.lessons.core import Call, Calls
from loopclinic.lessons.core.stacks import defined_at
from loopclinic.probe import garbage


async def waits():
    await asyncio.sleep(60)  # here


async def answers():
    return "text"


async def fails():
    raise KeyError("no")


async def test_endings_of_calls_in_time_and_late():
    over = asyncio.Event()

    async def stays():
        while not over.is_set():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    calls = Calls({one: Call(one) for one in (answers, fails, waits, stays)})
    endings = await calls.settled(0.05)
    assert [one.how for one in endings] == ["returned", "raised", "broken-off", "running"]
    assert [one.overdue for one in endings] == [False, False, True, True]
    assert endings[0].value == "'text'"
    assert calls[answers].value == "text"
    assert calls[fails].value is None
    assert endings[1].error[:2] == ("KeyError", "LookupError")
    assert endings[1].is_error("LookupError")
    assert "# here" in endings[2].place.code
    assert "raise KeyError" in endings[1].place.code
    over.set()
    calls[stays].task.cancel()
    await calls[stays].within(1)


async def test_a_cancelled_call_says_where_it_waited_and_how_long_it_took():
    call = Call(waits)
    await asyncio.sleep(0.05)
    ending = await call.cancelled(1)
    assert ending.how == "cancelled"
    assert ending.seconds < 0.05
    assert "# here" in ending.place.code


async def test_a_call_in_time_goes_on():
    call = Call(waits)
    assert (await call.within(0.01)).how == "running"
    assert not call.done
    await call.cancelled(1)


async def test_what_can_not_be_awaited_is_said():
    ending = await Call(lambda: "text", "transcribe").settled(1)
    assert "transcribe must stay async" in ending.message


async def test_an_error_tells_of_its_group_its_cause_and_what_it_came_amid():
    async def grouped():
        try:
            raise TimeoutError
        except TimeoutError:
            raise ExceptionGroup("many", [ValueError("one")]) from KeyError("cause")

    ending = await Call(grouped).settled(1)
    assert ending.message == "ValueError: one"
    assert ending.error[0] == "ExceptionGroup"
    assert {"ValueError", "KeyError"} <= set(ending.related)
    assert "TimeoutError" not in ending.related
    assert "TimeoutError" in ending.during


@pytest.mark.parametrize(
    ("begin", "words"), [(fails, "raised KeyError: 'no'"), (answers, "'text'")]
)
async def test_endings_in_words(begin, words):
    ending = await Call(begin).settled(1)
    assert words in str(ending)
    assert ending.said in str(ending) or ending.returned


async def test_a_value_that_can_not_be_shown_is_no_fault_of_the_kits():
    class Odd:
        def __repr__(self):
            raise ValueError

    async def odd():
        return Odd()

    assert (await Call(odd).settled(1)).value == "a Odd whose repr() raises"


async def test_calls_say_where_the_first_of_them_waits_in_the_learners_code():
    calls = Calls({one: Call(one) for one in (answers, waits)})
    await asyncio.sleep(0.01)
    assert "# here" in calls.look().code
    await calls.cancelled(1)
    assert calls.look() is None


def test_a_function_is_where_its_def_stands():
    @contextlib.asynccontextmanager
    async def opens():
        yield

    place = defined_at(opens)
    assert place.code == "async def opens():"
    assert defined_at(asyncio.sleep) is None
    assert defined_at(None) is None


async def test_an_error_that_nobody_asked_for_is_not_reported_by_asyncio():
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    call = Call(fails)
    await asyncio.sleep(0.01)
    del call
    garbage.collect()
    assert told == []
