"""Tests marked `alone` depend on real time: they run last, one after another, with nothing beside them.

Those marked `prove` are run by themselves, too. Where other programs had the processors meanwhile, such
a test has no verdict: it is skipped with this reason, whether it would have passed or failed. So is one
marked `alone(wakes=True)`, which needs a thread to be quick as soon as it wakes, on a machine where none is.
"""

import ast
import contextlib
import json
import os
import statistics
import tempfile
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from loopclinic.verdict import Verdict

_ROOM = pytest.StashKey["Room"]()
_ACCOUNT = pytest.StashKey["Account"]()
_FOLDER = pytest.StashKey[tempfile.TemporaryDirectory[str]]()
_SHARED = "loopclinic_workers"


# Which worker runs what, and when.


class Room:
    """A folder that workers share: how tests are grouped, and which workers still run any."""

    def __init__(self, folder: str) -> None:
        self._units = Path(folder, "units")
        self._mine = Path(folder, str(os.getpid()))

    def enter(self) -> None:
        """Say that this worker runs tests."""
        self._mine.touch()

    def leave(self) -> None:
        """Say that this worker runs no more tests."""
        self._mine.unlink(missing_ok=True)

    def wait(self) -> None:
        """Wait until no other worker runs tests; one that has crashed is not waited for."""
        while any(
            one.name.isdigit() and one != self._mine and psutil.pid_exists(int(one.name))
            for one in self._mine.parent.iterdir()
        ):
            time.sleep(0.05)

    def tell(self, units: Mapping[str, str]) -> None:
        """Write down the unit of each test; every worker writes the same, and one may read meanwhile."""
        new = self._mine.with_suffix(".new")
        new.write_text(json.dumps(units), encoding="utf-8")
        new.replace(self._units)

    def told(self) -> dict[str, str]:
        """Return the unit of each test, once each worker has collected."""
        return json.loads(self._units.read_text(encoding="utf-8"))


def unit_of(item: Any) -> str:
    """Return the name of what one worker runs in one go, with this test in it.

    That is a function's tests; of a module whose tests share a fixture, all of them; all that share a
    JupyterLab; and all that run alone.
    """
    if item.get_closest_marker("alone"):
        return "alone"
    if item.nodeid.startswith("tests/browser/"):
        return "browser"
    used = item._fixtureinfo.name2fixturedefs.values()  # pytest tells it nowhere else
    shared = any(one[-1].scope in {"class", "module", "package"} for one in used)
    return item.nodeid.partition("::" if shared else "[")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config):
    folder = config.stash[_FOLDER] = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput[_SHARED] = node.config.stash[_FOLDER].name


def pytest_configure(config):
    if hasattr(config, "workerinput"):
        config.stash[_ROOM] = Room(config.workerinput[_SHARED])
        config.stash[_ROOM].enter()


@pytest.hookimpl(trylast=True)  # when tests of other tiers have been deselected
def pytest_collection_modifyitems(config, items):
    # The browser's first, so that no worker is left with them at the end.
    items.sort(
        key=lambda item: (
            item.get_closest_marker("alone") is not None,
            not item.nodeid.startswith("tests/browser/"),
        )
    )
    if _ROOM in config.stash:
        config.stash[_ROOM].tell({item.nodeid: unit_of(item) for item in items})


def pytest_sessionfinish(session):
    if _ROOM in session.config.stash:
        session.config.stash[_ROOM].leave()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler.loadscope import LoadScopeScheduling

    config.option.loadscopereorder = False  # keep the order above
    units = cache(Room(config.stash[_FOLDER].name).told)

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return units()[nodeid]

    return Together(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest-timeout counts
def pytest_runtest_protocol(item, nextitem):
    if item.get_closest_marker("alone") and _ROOM in item.config.stash:
        item.config.stash[_ROOM].wait()
    return (yield)


# Doubt.


@dataclass(frozen=True)
class Used:
    """Processor seconds of a process, and of its children that it has waited for."""

    own: float
    inherited: float
    parent: int

    @property
    def whole(self) -> float:
        return self.own + self.inherited


class Account:
    """Tells which share of the machine's processors other programs had since it was made."""

    def __init__(self) -> None:
        self._all, self._idle, self._ours = self._read()

    @staticmethod
    def _read() -> tuple[float, float, dict[int, Used]]:
        """Return processor seconds: of all kinds, idle, and of this process and each below it."""
        times = psutil.cpu_times()
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # in user, too
        idle = times.idle + getattr(times, "iowait", 0.0)
        ours = {}
        for process in (this := psutil.Process(), *this.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                user, system, *children = process.cpu_times()[:4]
                ours[process.pid] = Used(user + system, sum(children), process.ppid())
        return sum(times) - guests, idle, ours

    def others(self) -> float:
        """Return the share, 0 to 1."""
        now = self._read()
        whole, idle = now[0] - self._all, now[1] - self._idle
        spent = idle + used_since(self._ours, now[2])
        return min(1.0, max(0.0, 1 - spent / whole)) if whole > _LEAST else 0.0


def used_since(before: Mapping[int, Used], now: Mapping[int, Used]) -> float:
    """Return the processor seconds that these processes used in between.

    Who waits for a child that ended inherits all that it ever used. Where nobody does, what it used
    before takes nothing from the others' time.
    """
    nothing = Used(0.0, 0.0, 0)
    gained = {pid: one.inherited - before.get(pid, nothing).inherited for pid, one in now.items()}
    spent = sum(one.own - before.get(pid, nothing).own for pid, one in now.items())
    for pid in before.keys() - now.keys():
        heir = before[pid].parent
        while heir in before and heir not in now:
            heir = before[heir].parent
        if gained.get(heir, 0.0) >= before[pid].whole:
            gained[heir] -= before[pid].whole
    return spent + sum(gained.values())


_LEAST = 0.4
"""Processor seconds below which the share is unknown: the kernel counts them by the hundredth."""
MOST = 1 - 0.5 / (os.cpu_count() or 1)
"""Share that others may have: with more, less than half a processor was left to the test."""


def too_busy(account: Account) -> str | None:
    """Return why a test of real time has no verdict; None if it has one."""
    others = account.others()
    if others <= MOST:
        return None
    return f"no verdict: other programs had {others:.0%} of the processors, {MOST:.0%} at most"


def slow_to_wake() -> str | None:
    """Return why a test that needs a thread to be quick as it wakes has no verdict; None if it has one.

    A virtual machine whose host watches which memory is in use may take a tenth of a millisecond for each
    page that rested: a thread that wakes loses the GIL before it has looked at anything.
    """

    def steps() -> float:
        began = time.perf_counter()
        ast.dump(ast.parse("def f(a):\n return [x for x in a if x]"))
        json.dumps(json.loads('{"a": [1, 2, {"b": null}]}'))
        textwrap.wrap("word " * 20, 30)
        return (time.perf_counter() - began) * 1000

    def rested() -> float:
        time.sleep(0.1)
        return steps()

    first = statistics.median(rested() for _ in range(3))
    again = min(steps() for _ in range(3))
    if first <= _SLOW:
        return None
    return f"no verdict: after 0.1 s at rest this machine took {first:.1f} ms for what else takes {again:.2f} ms"


_SLOW = 1.0
"""Milliseconds: five times what rested steps take on a slow machine of its own."""


def known(verdict: Verdict) -> Verdict:
    """Return the verdict on a lab; skip the test where the machine was too busy for one."""
    if verdict.signs:
        pytest.skip(f"no verdict: {verdict}")
    return verdict


def _real_time(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("alone", "prove"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item):
    if not _real_time(item):
        return (yield)
    item.stash[_ACCOUNT] = Account()
    try:
        return (yield)
    except Exception:
        _skip_if_busy(item)
        raise


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item):
    if not _real_time(item):
        return (yield)
    try:
        result = yield
    except (Exception, pytest.fail.Exception):
        _skip_if_busy(item)
        raise
    _skip_if_busy(item)
    return result


def _skip_if_busy(item: pytest.Item) -> None:
    why = too_busy(item.stash[_ACCOUNT])
    marked = item.get_closest_marker("alone")
    if why is None and marked is not None and marked.kwargs.get("wakes"):
        why = slow_to_wake()
    if why is not None:
        raise pytest.skip.Exception(why, _use_item_location=True)
