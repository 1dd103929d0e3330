"""Fails a test whose event loop was stuck for longer than its budget. Off unless asked for.

A test asks by the marker `loop_budget(seconds)` or the fixture `loop_probe`, a whole suite by
`--loop-budget SECONDS` or the ini setting of that name. pytest loads this module at every start, so
nothing is imported here but pytest; the probe comes with the first test that asks.

Whatever runs the loop (pytest-asyncio, anyio, `asyncio.run` in the test itself, unittest's async
cases, a loop that a fixture began in another thread) is watched the same way, and only while
the test's own body runs: fixtures have no budget.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from loopclinic.runner.loop_budget import BackgroundLoops, LoopProbe

_DEFAULT = 0.1  # seconds, asyncio's own slow_callback_duration
_HELP = "fail a test whose event loop was stuck for longer than so many seconds"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the ini setting."""
    group = parser.getgroup("loopclinic", "event loops")
    group.addoption("--loop-budget", type=_seconds, metavar="SECONDS", help=_HELP)
    parser.addini("loop_budget", _HELP)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and refuse a setting that is no number of seconds."""
    about = f"loop_budget(seconds): {_HELP}; None lifts the budget of the suite (loopclinic)"
    config.addinivalue_line("markers", about)
    _suite_budget(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note from now on which loops run, if any test has a budget: fixtures begin some."""
    if not any(map(_is_watched, session.items)):
        return
    from loopclinic.runner.loop_budget import BackgroundLoops  # only where it is asked for

    session.config.stash[_LOOPS] = loops = BackgroundLoops()
    loops.install()
    session.config.add_cleanup(loops.remove)


@pytest.fixture
def loop_probe(request: pytest.FixtureRequest) -> LoopProbe:
    """What the event loops of this test are found to do: `.stalls`, `.report()`, `.budget`.

    With it a test has a budget: the marker's, else the suite's, else 0.1 s. Set `.budget` to change
    it, or to None to judge `.stalls` yourself.
    """
    from loopclinic.runner.loop_budget import LoopProbe  # only where it is asked for

    asked, budget = _asked(request.node)
    loops = request.config.stash.get(_LOOPS, None)
    request.node.stash[_KEY] = probe = LoopProbe(budget if asked else _DEFAULT, loops)
    return probe


@pytest.hookimpl(hookwrapper=True)  # the newer `wrapper` would end an older pytest at its start
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, None]:
    """Watch the body of a test that has a budget."""
    probe = item.stash.get(_KEY, None)
    if probe is None:
        budget = _asked(item)[1]
        if budget is None:
            yield
            return
        from loopclinic.runner.loop_budget import LoopProbe  # only where it is asked for

        probe = LoopProbe(budget, item.config.stash.get(_LOOPS, None))
    with probe.listening():
        outcome = yield
    complaint = probe.complaint()
    if complaint is None:
        return
    if outcome.excinfo is None:
        outcome.force_exception(pytest.fail.Exception(complaint, pytrace=False))
    else:
        item.add_report_section("call", "event loop", complaint)


_KEY = pytest.StashKey["LoopProbe"]()
_LOOPS: pytest.StashKey[BackgroundLoops] = pytest.StashKey()


def _is_watched(item: pytest.Item) -> bool:
    asks = "loop_probe" in getattr(item, "fixturenames", ())
    asks = asks or item.get_closest_marker("loop_budget") is not None
    return asks or _suite_budget(item.config) is not None


def _asked(item: pytest.Item) -> tuple[bool, float | None]:
    """Return whether a test or its suite asks for a budget, and which (None: none)."""
    marker = item.get_closest_marker("loop_budget")
    if marker is None:
        budget = _suite_budget(item.config)
        return budget is not None, budget
    if len(marker.args) + len(marker.kwargs) != 1 or set(marker.kwargs) - {"seconds"}:
        _refuse("loop_budget takes one number of seconds")
    value = [*marker.args, *marker.kwargs.values()][0]
    if value is None:
        return True, None
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        _refuse(f"loop_budget({value!r}) is not a number of seconds above zero")
    return True, float(value)


def _refuse(what: str) -> NoReturn:
    pytest.fail(f"{what}: write @pytest.mark.loop_budget(0.1).", pytrace=False)


def _suite_budget(config: pytest.Config) -> float | None:
    option: float | None = config.getoption("--loop-budget")
    if option is not None:
        return option
    setting = str(config.getini("loop_budget") or "").strip()
    try:
        return _seconds(setting) if setting else None
    except ArgumentTypeError as error:
        raise pytest.UsageError(f"loop_budget in the configuration: {error}") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above zero.")
    return seconds
