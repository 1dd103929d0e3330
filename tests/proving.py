"""Plugin of `make prove`: remembers tests that passed until what they depend on changes.

A live verdict rests on what its record rests on and on the kind of machine, idle or busy; any other test
on all files of the kit. Options: `--anew` runs also what is kept; `--within SECONDS` begins no test after
that time and says what was left out, which differs from one state of the kit to the next.
"""

import hashlib
import json
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROVED = ROOT / "build" / "proved.jsonl"
"""One line for each test that has passed; a later line of the same test counts."""
_RESTS_ON = (
    *(
        "src",
        "tests",
        "scripts",
        "notebooks",
        "labs",
        "solutions",
        "data",
        "deploy",
        "pyproject.toml",
    ),
    *(
        f"benchmarks/room{part}.py"
        for part in ("", "_attempts", "_hostile", "_hub", "_learner", "_page")
    ),
)
_BEGAN = pytest.StashKey[float]()
_KEPT = pytest.StashKey[dict[str, dict[str, Any]]]()
_LIVE = pytest.StashKey[list[dict[str, Any]]]()


def pytest_addoption(parser):
    group = parser.getgroup("prove")
    group.addoption("--anew", action="store_true", help="also prove what is kept as proved")
    group.addoption(
        "--within", type=float, metavar="SECONDS", help="begin no proof after that time"
    )


def pytest_configure(config):
    config.stash[_BEGAN] = time.monotonic()
    config.stash[_KEPT] = {}
    config.stash[_LIVE] = []


@pytest.hookimpl(trylast=True)  # when tests of other tiers have been deselected
def pytest_collection_modifyitems(config, items):
    proofs = [item for item in items if item.get_closest_marker("prove")]
    if not proofs:
        return
    known = {} if config.getoption("anew") else read(PROVED)
    for item in proofs:
        key = rests_on(item)
        item.user_properties.append(("rests on", key))
        if known.get(item.nodeid, {}).get("rests on") == key:
            config.stash[_KEPT][item.nodeid] = known[item.nodeid]
    kept = config.stash[_KEPT]
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in kept])
    items[:] = [item for item in items if item.nodeid not in kept]
    if config.getoption("within") is not None:
        items.sort(key=_chance)


def rests_on(item: pytest.Item) -> str:
    """Return a hash of what the test's outcome rests on."""
    submission = getattr(item, "callspec", None) and item.callspec.params.get("submission")
    if submission is None:
        return tree()
    from tests.labs.recorded import hashes

    return ".".join(hashes(submission).values())


@cache
def tree() -> str:
    """Return a hash of all files of the kit."""
    found = hashlib.sha256()
    for name in _RESTS_ON:
        place = ROOT / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def _chance(item: pytest.Item) -> str:
    """Return what to sort by: tests of a module stay together, live verdicts do not."""
    live = "submission" in getattr(item, "fixturenames", ())
    unit = item.nodeid if live else item.nodeid.partition("::")[0]
    return hashlib.sha256(f"{tree()} {unit}".encode()).hexdigest()


def pytest_runtest_setup(item):
    within = item.config.getoption("within")
    if within is None or not item.get_closest_marker("prove"):
        return
    if time.monotonic() - item.config.stash[_BEGAN] > within:
        pytest.skip(f"left out: {within:.0f} s are over")


# What is kept.


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return what is kept, by test; a line that an interrupt cut short is left out."""
    found = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            kept = json.loads(line)
        except ValueError:
            continue
        found[kept["test"]] = kept
    return found


def keep(path: Path, kept: dict[str, Any]) -> None:
    """Append what has passed."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(kept) + "\n")


class _Reports:
    def __init__(self, config: pytest.Config) -> None:
        self._live = config.stash[_LIVE]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = dict(report.user_properties)
        if report.when != "call" or "rests on" not in told:
            return
        told |= {"test": report.nodeid, "outcome": report.outcome}
        self._live.append(told)
        if report.passed:
            keep(PROVED, told)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(_Reports(session.config))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.stash[_KEPT]:
        session.exitstatus = pytest.ExitCode.OK  # all is kept


# What is told at the end.


def pytest_terminal_summary(terminalreporter, config):
    kept, ran = config.stash[_KEPT], config.stash[_LIVE]
    left_out = [
        report.nodeid
        for report in terminalreporter.stats.get("skipped", ())
        if "left out:" in str(report.longrepr)
    ]
    total = len(kept) + len(ran) + len(left_out)
    if total == 0:
        return
    terminalreporter.section("proved")
    lines = list(figures([*kept.values(), *ran]))
    if kept:
        lines.append(f"{len(kept)} of {total} kept from before: --anew runs them, too")
    if left_out:
        modules = Counter(nodeid.partition("::")[0] for nodeid in left_out)
        lines.append(f"{len(left_out)} of {total} left out for want of time:")
        lines += [f"  {number:4d} {module}" for module, number in sorted(modules.items())]
    for line in lines:
        terminalreporter.write_line(line)


def figures(told: Iterable[dict[str, Any]]) -> Iterable[str]:
    """Yield a line for each lesson and kind of machine, and one for each figure of labs and solutions."""
    by_lesson = defaultdict(list)
    by_figure = defaultdict(list)
    for one in told:
        if "verdict" not in one:
            continue
        verdict = one["verdict"]
        by_lesson[verdict["lesson"], verdict["machine"]].append(one)
        for name, value in verdict["vitals"].items():
            by_figure[verdict["submission"], verdict["machine"], name].append(value)
    for (lesson, machine), ones in sorted(by_lesson.items()):
        outcomes = [one.get("outcome") for one in ones]
        seconds = [one["verdict"]["seconds"] for one in ones]
        yield (
            f"lesson {lesson}, {machine}: {outcomes.count('passed')} of {len(ones)} verdicts as named, "
            f"{outcomes.count('skipped')} without verdict; "
            f"{statistics.median(seconds):.1f} s each, {max(seconds):.1f} s at most"
        )
    for (submission, machine, name), values in sorted(by_figure.items()):
        if len(values) > 1:
            yield (
                f"  {submission}, {machine}, {name}: {min(values):.4g} to {max(values):.4g} "
                f"in {len(values)} trials"
            )
