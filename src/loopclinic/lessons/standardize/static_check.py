"""The scene of lab 13 that calls nothing: the lab's own tests, on five services, and the scanner."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import psutil

from loopclinic.conflicts import CONFLICTS
from loopclinic.lessons.core import Judged, Kept, Scene
from loopclinic.lessons.core.scene import from_json
from loopclinic.lessons.lesson import Budget
from loopclinic.lessons.programs import ran, started
from loopclinic.lessons.standardize.broken import BROKEN
from loopclinic.lessons.wording import span
from loopclinic.units import count
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

__all__ = ["TEST", "Remark", "Run", "Static", "scanned", "tested"]

# Kept from before a lab is imported, which may replace them.
_gather, _wait, _to_thread = asyncio.gather, asyncio.wait, asyncio.to_thread

TEST = Budget(
    10.0, "s", "One test of the learner's; each of the reference's takes some milliseconds."
)
CONFIDENCE = "likely"
"""Findings of the scanner that are less sure than this are hints, which are not minded."""

_RUN = "loopclinic.lessons.standardize.suite_run"
_LONGEST = 60.0
_EVERY = 0.2
_NO_TESTS = 5  # pytest.ExitCode


@dataclass(frozen=True, slots=True)
class Remark:
    """What is said of a test, by its name, or of source, by its conflict; without a line, of a file."""

    name: str
    message: str
    file: str
    line: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """The lab's tests, run once."""

    status: int
    tests: int
    files: list[str]
    failed: list[Remark]
    unawaited: list[Remark]


@dataclass(frozen=True, slots=True)
class Suite:
    """The lab's tests, run as they are and on each broken service."""

    runs: dict[str, Run]
    """By name of the service; the name "" is the lab's own."""
    hung: Remark | None
    """The test, or what else, that was not over in time."""
    said: str


class Static(Scene[Any]):
    """The lab's tests on its own service and on services that are broken on purpose; a scan of its source."""

    title = "running the lab's own tests, then on services that are broken on purpose"
    promises = (2, 9, 10)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What the runs and the scan found."""

        suite: Suite
        findings: list[Remark]
        scan_failed: str | None
        """What the scan said where it came to no end."""

        @property
        def runs(self) -> dict[str, Run]:
            """The runs of the tests that came to their end."""
            return self.suite.runs

    async def drive(self, lab: ModuleType, stage: "Stage") -> "Static.Found":
        """Run the tests and the scanner."""
        assert lab.__file__ is not None
        package = Path(lab.__file__).parent
        suite, (findings, failed) = await _gather(
            tested(package.parent, package.name, stage.folder / "tests.jsonl"), scanned(package)
        )
        return self.Found(suite, findings, failed)

    def judge(self, found: "Static.Found", judged: Judged) -> Iterator[Reason | Kept]:
        """Judge the tests, then what the scanner found."""
        yield from self._tests(found.suite)
        if found.scan_failed is not None:
            yield Reason(
                f"The scan came to no end: {found.scan_failed.strip().splitlines()[-1]}",
                promise=10,
                next_step="Run loopclinic scan billing in the lab's folder.",
            )
            return
        many = Counter(one.name for one in found.findings)
        if not many:
            yield Kept(10)
        if "loop-per-call" not in many:
            yield Kept(2)
        # What was measured says more than what was read in the source, of the same conflict.
        for kind in (kind for kind in many if not judged.has(kind)):
            first = next(one for one in found.findings if one.name == kind)
            yield Reason(
                f"The scanner reads it in the source: {first.message}",
                conflict=kind,
                measured=count(many[kind], "finding"),
                budget="0 findings",
                file=first.file,
                line=first.line,
                promise=2 if kind == "loop-per-call" else 10,
                next_step="loopclinic scan billing shows each with its chain.",
            )

    def _tests(self, suite: Suite) -> Iterator[Reason | Kept]:
        """Judge the lab's tests: that they pass, that they await, that they fail where they should."""
        if (hung := suite.hung) is not None:
            yield Reason(
                f"Your tests stood still for {span(TEST.limit)}, in {hung.name or 'their imports'}.",
                measured=f"over {span(TEST.limit)}",
                budget=span(TEST.limit),
                file=hung.file or None,
                line=hung.line,
                timed=True,
                promise=9,
                next_step="Run pytest in the lab's folder. Tests that need a database wait for it here.",
            )
            return
        own = suite.runs.get("")
        caught = [name for name in BROKEN if name in suite.runs and suite.runs[name].status != 0]
        if own is None:
            last = (suite.said.strip().splitlines() or ["nothing was said"])[-1]
            yield _untested(f"The tests could not be run: {last}")
        elif own.unawaited:
            first = own.unawaited[0]
            yield Reason(
                f"The tests make coroutines and do not await them: {first.message}.",
                conflict="unawaited-coroutine",
                measured=f"{count(len(own.unawaited), 'coroutine')} never awaited",
                budget="0 coroutines",
                file=first.file,
                line=first.line,
                promise=9,
                next_step="Make the test `async def` and await the call; a test that does not, passes always.",
            )
        elif own.failed:
            yield _failing(own.failed)
        elif own.status:
            ended = f"pytest ended with {own.status}"
            what = "no test was found" if own.status == _NO_TESTS else ended
            yield _untested(f"Your tests did not run: {what}.")
        elif any(name not in suite.runs for name in BROKEN):
            yield Reason(
                "The tests could not be run on a broken service: the package has no class BillingService.",
                promise=9,
                next_step="Export BillingService, with its five methods, from the package.",
            )
        elif len(caught) < len(BROKEN):
            whom = "; one that ".join(
                what for name, (_, what) in BROKEN.items() if name not in caught
            )
            yield Reason(
                f"The tests also pass on a service that {whom}.",
                measured=f"{len(caught)} of {len(BROKEN)} broken services caught",
                budget=f"{len(BROKEN)} of {len(BROKEN)}",
                file=own.files[0] if len(own.files) == 1 else None,
                promise=9,
                next_step="Await the call, then assert on what it returned, raised and stored.",
            )
        else:
            yield Kept(9)


def _untested(sentence: str) -> Reason:
    return Reason(sentence, promise=9, next_step="Run pytest in the lab's folder.")


def _failing(failed: list[Remark]) -> Reason:
    first = failed[0]
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return Reason(
        f"{first.name} failed{more}: {first.message.partition(chr(10))[0]}",
        measured=f"{count(len(failed), 'test')} failed",
        budget="0 tests",
        file=first.file,
        line=first.line,
        promise=9,
        next_step="Move the tests with the package: `async def`, `await`, AsyncMock for what is awaited.",
    )


# Tests and scan, each run as anybody would, in a process of its own.


async def tested(folder: Path, package: str, report: Path) -> Suite:
    """Run the tests in `folder` as they are and on broken services; `report` is a file to write."""
    command = _python("-m", _RUN, str(folder), package, str(report))
    async with started(command, environ=_environ()) as process:
        talk = asyncio.ensure_future(process.communicate())
        ended = await _while_it_goes_on(talk, process.pid, report)
        if not ended:
            process.kill()
        said = (await talk)[0].decode("utf-8", "replace")
    runs, last = await _to_thread(_reported, report)
    return Suite(runs, None if ended else last, said[-1000:])


def _reported(report: Path) -> tuple[dict[str, Run], Remark]:
    """Return the runs that came to their end, and the test that was begun last."""
    runs, last = dict[str, Run](), Remark("", "", "", None)
    lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    for one in map(json.loads, lines):
        if one["kind"] == "ran":
            runs[one["name"]] = from_json(Run, one)
        else:
            last = from_json(Remark, one)
    return runs, last


async def scanned(folder: Path) -> tuple[list[Remark], str | None]:
    """Scan `folder` as `loopclinic scan` does; return what it found, and what it said if it failed."""
    options = ("--format", "json", "--min-confidence", CONFIDENCE, "--no-cache", "--jobs", "1")
    command = _python("-m", "loopclinic", "scan", str(folder), *options)
    try:
        _, out, _ = await ran(command, environ=_environ(), patience=_LONGEST)
        said = out.decode()
    except TimeoutError:
        said = ""
    with contextlib.suppress(ValueError):
        return [
            Remark(
                one["kind"], one["message"] + _chain(one), str(folder / one["file"]), one["line"]
            )
            for one in json.loads(said)["findings"]
            if one["kind"] in CONFLICTS
        ], None
    return [], said[-500:] or "nothing was said"


def _chain(finding: dict[str, Any]) -> str:
    steps = [str(one["function"]) for one in finding["chain"]]
    return f" ({' -> '.join(steps)})" if len(steps) > 1 else ""


def _environ() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1"}


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-P", *arguments)


async def _while_it_goes_on(talk: "asyncio.Future[Any]", pid: int, report: Path) -> bool:
    """Wait for the end while anything is done; False when nothing was for too long.

    On a busy machine all of it takes long, but a test that waits in vain does nothing at all.
    """
    sign, since = (-1, -1), time.monotonic()
    while not talk.done():
        now = await _to_thread(_sign_of_life, pid, report)
        if now != sign:
            sign, since = now, time.monotonic()
        elif time.monotonic() - since > TEST.limit:
            return False
        await _wait([talk], timeout=_EVERY)
    return True


def _sign_of_life(pid: int, report: Path) -> tuple[int, int]:
    """Return what has been reported, in bytes, and what was computed, in tenths of a second."""
    size = report.stat().st_size if report.exists() else 0
    try:
        spent = psutil.Process(pid).cpu_times()
    except psutil.Error:  # it has just ended
        return size, -1
    return size, int(10 * (spent.user + spent.system))
