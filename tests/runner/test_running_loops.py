"""Callbacks for loops that start and stop; asyncio is left as it was."""

import asyncio
import functools
import logging

import pytest

from loopclinic.runner.running_loops import RunningLoops


@pytest.fixture
def heard():
    """A list of what is told, and a hook that tells it."""
    told = []
    hook = RunningLoops(
        lambda loop: told.append(("began", loop)), lambda loop: told.append(("ended", loop))
    )
    return told, hook


def test_each_run_is_told_from_its_beginning_to_its_end(heard):
    told, hook = heard
    loop = asyncio.new_event_loop()
    with hook:
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert told == [("began", loop), ("ended", loop)] * 2


def test_a_loop_that_ends_by_an_exception_is_told_too(heard):
    told, hook = heard

    async def fails():
        raise ValueError

    with hook, pytest.raises(ValueError):
        asyncio.run(fails())
    assert [what for what, _ in told][:2] == ["began", "ended"]


def test_asyncio_is_left_as_it_was_found(heard):
    before = asyncio.events._set_running_loop, asyncio._set_running_loop
    with heard[1]:
        assert asyncio.events._set_running_loop is not before[0]
    assert (asyncio.events._set_running_loop, asyncio._set_running_loop) == before


def test_who_wrapped_it_after_us_keeps_a_hook_that_only_passes_on(heard, monkeypatch):
    told, hook = heard
    hook.install()
    ours = asyncio.events._set_running_loop
    monkeypatch.setattr(asyncio.events, "_set_running_loop", functools.partial(ours))
    hook.remove()
    asyncio.run(asyncio.sleep(0))
    assert told == []


def test_two_hooks_both_hear(heard):
    told, hook = heard
    other = []
    with hook, RunningLoops(other.append, other.append):
        asyncio.run(asyncio.sleep(0))
    assert [loop for _, loop in told] == other != []


def test_what_a_listener_raises_is_logged_and_the_loop_runs(caplog):
    def fails(_):
        raise ValueError("of ours")

    with RunningLoops(fails, fails), caplog.at_level(logging.ERROR, "loopclinic"):
        assert asyncio.run(asyncio.sleep(0, "done")) == "done"
    assert "of ours" in caplog.text


def test_uvloop_imported_before_and_left_as_found(heard):
    uvloop = pytest.importorskip("uvloop")
    told, hook = heard
    with hook:
        uvloop.run(asyncio.sleep(0))
    assert "run_forever" not in vars(uvloop.Loop)
    assert {what for what, _ in told} == {"began", "ended"}
    assert {type(loop) for _, loop in told} == {uvloop.Loop}
