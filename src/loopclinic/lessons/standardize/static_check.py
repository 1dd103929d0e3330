"""Scene of lab 13 that calls no lab code: runs the lab's own tests, also on mutants, and the scanner."""

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from loopclinic.conflicts import CONFLICTS
from loopclinic.lessons.core import Broken, Budget, Judged, Kept, Said, Scene
from loopclinic.lessons.core.child_programs import ran
from loopclinic.lessons.core.scene import from_json
from loopclinic.lessons.core.verdicts import broke, none_of
from loopclinic.lessons.standardize.mutants import MUTANTS
from loopclinic.units import count, span
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

# Kept from before a lab is imported, which may replace them.
_gather, _to_thread = asyncio.gather, asyncio.to_thread

TEST = Budget(
    10.0, "s", "One test of the learner's; each of the reference's takes some milliseconds."
)
CONFIDENCE = "likely"
"""Findings of the scanner that are less sure than this are hints, which are not judged."""

_RUN = "loopclinic.lessons.standardize.run_on_mutants"
_LONGEST = 60.0
_NO_TESTS = 5  # pytest.ExitCode


@dataclass(frozen=True, slots=True)
class Remark:
    """What is said of a test, by its name, or of source, by its conflict."""

    name: str
    message: str
    file: str
    line: int | None

    @property
    def at(self) -> dict[str, Any]:
        """Its place, as fields of a reason."""
        return {"file": self.file or None, "line": self.line}


@dataclass(frozen=True, slots=True)
class Run:
    """The lab's tests, run once."""

    status: int
    tests: int
    files: list[str]
    failed: list[Remark]
    unawaited: list[Remark]
    reached: Remark | None = None
    """The first test that came to where a mutant differs from the service."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The lab's tests, run as they are and on each mutant."""

    runs: dict[str, Run]
    """By name of the mutant; the name "" is the lab's own service."""
    hung: Remark | None
    """The test, or what else, at which nothing moved for too long."""
    said: str


class Static(Scene[Any]):
    """The lab's tests on its own service and on mutants of it; a scan of its source."""

    title = "running the lab's own tests, then on services that are broken on purpose"
    promises = (2, 9, 10)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What the runs and the scan found."""

        suite: Suite
        findings: list[Remark]
        scan_failed: str | None
        """What the scan said where it came to no end."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> "Static.Found":
        """Run the tests and the scanner."""
        assert lab.__file__ is not None
        package = Path(lab.__file__).parent
        suite, (findings, failed) = await _gather(
            tested(package.parent, package.name, stage.folder / "tests.jsonl"), scanned(package)
        )
        return self.Found(suite, findings, failed)

    def judge(self, found: "Static.Found", judged: Judged) -> Iterator[Said]:
        """Judge the tests, then what the scanner found."""
        yield from _tests(found.suite)
        if found.scan_failed is not None:
            last = found.scan_failed.strip().splitlines()[-1]
            step = "Run loopclinic scan billing in the lab's folder."
            yield broke(10, f"The scan came to no end: {last}", step)
            return
        many = Counter(one.name for one in found.findings)
        if not many:
            yield Kept(10)
        if "loop-per-call" not in many:
            yield Kept(2)
        # What was measured says more than what was read in the source, of the same conflict.
        for kind in (kind for kind in many if not judged.has(kind)):
            first = next(one for one in found.findings if one.name == kind)
            yield broke(
                2 if kind == "loop-per-call" else 10,
                f"The scanner reads it in the source: {first.message}",
                "loopclinic scan billing shows each with its chain.",
                conflict=kind,
                **none_of(many[kind], "finding"),
                **first.at,
            )
        if many:
            yield Broken(10)


def _tests(suite: Suite) -> Iterator[Reason | Kept]:
    """Judge the lab's tests: that they pass, that they await, that they fail on each mutant."""
    own, hung = suite.runs.get(""), suite.hung
    missed = [name for name in MUTANTS if name in suite.runs and not suite.runs[name].status]
    more: dict[str, Any] = {}
    step = "Run pytest in the lab's folder."
    if hung is not None:
        said = f"Your tests hung for {span(TEST.limit)}, in {hung.name or 'their imports'}."
        step += " Tests that need a database wait for it here."
        more = {"measured": f"over {span(TEST.limit)}", "budget": span(TEST.limit), "timed": True}
        more |= hung.at
    elif own is None:
        last = (suite.said.strip().splitlines() or ["nothing was said"])[-1]
        said = f"The tests could not be run: {last}"
    elif own.unawaited:
        first, number = own.unawaited[0], count(len(own.unawaited), "coroutine")
        said = f"The tests make coroutines and do not await them: {first.message}."
        step = "Make the test `async def` and await the call; a test that does not, passes always."
        more = {"conflict": "unawaited-coroutine", "measured": f"{number} never awaited"}
        more |= {"budget": "0 coroutines", **first.at}
    elif own.failed:
        first, others = own.failed[0], len(own.failed) - 1
        also = f", and {others} more" if others else ""
        said = f"{first.name} failed{also}: {first.message.partition(chr(10))[0]}"
        step = (
            "Move the tests with the package: `async def`, `await`, AsyncMock for what is awaited."
        )
        more = {"measured": f"{count(len(own.failed), 'test')} failed", "budget": "0 tests"}
        more |= first.at
    elif own.status:
        ended = (
            "no test was found" if own.status == _NO_TESTS else f"pytest ended with {own.status}"
        )
        said = f"Your tests did not run: {ended}."
    elif any(name not in suite.runs for name in MUTANTS):
        said = "The tests could not be run on a broken service: the package has no class BillingService."
        step = "Export BillingService, with its five methods, from the package."
    elif missed:
        whom = "; one that ".join(MUTANTS[name].what for name in missed)
        said = f"The tests also pass on a service that {whom}."
        step = "Await the call, then assert on what it returned, raised and stored."
        more = {"file": os.path.commonpath(own.files)}
        if (reached := suite.runs[missed[0]].reached) is not None:
            said += f" {reached.name} comes to where it differs, and passes."
            more = reached.at
        more["measured"] = f"{len(MUTANTS) - len(missed)} of {len(MUTANTS)} broken services caught"
        more["budget"] = f"{len(MUTANTS)} of {len(MUTANTS)}"
    else:
        yield Kept(9)
        return
    yield broke(9, said, step, **more)


# Tests and scan, each run as anybody would, in a process of its own.


async def tested(folder: Path, package: str, report: Path) -> Suite:
    """Run the tests in `folder` as they are and on each mutant; `report` is a file to write."""
    said = await _python("-m", _RUN, str(folder), package, str(report), str(TEST.limit))
    runs, last, hung = dict[str, Run](), None, None
    await _to_thread(report.touch)
    for one in map(json.loads, (await _to_thread(report.read_text, "utf-8")).splitlines()):
        match one["kind"]:
            case "ran":
                runs[one["name"]] = from_json(Run, one)
            case "test":
                last = from_json(Remark, one)
            case "hung":
                hung = last
    return Suite(runs, hung, said[-1000:])


async def scanned(folder: Path) -> tuple[list[Remark], str | None]:
    """Scan `folder` as `loopclinic scan` does; return what it found, and what it said if it failed."""
    options = ("--format", "json", "--min-confidence", CONFIDENCE, "--no-cache", "--jobs", "1")
    said = await _python("-m", "loopclinic", "scan", str(folder), *options)
    with contextlib.suppress(ValueError):
        found = [one for one in json.loads(said)["findings"] if one["kind"] in CONFLICTS]
        return [_remark(one, folder) for one in found], None
    return [], said[-500:] or "nothing was said"


def _remark(finding: dict[str, Any], folder: Path) -> Remark:
    steps = [str(one["function"]) for one in finding["chain"]]
    chain = f" ({' -> '.join(steps)})" if len(steps) > 1 else ""
    file = str(folder / finding["file"])
    return Remark(finding["kind"], finding["message"] + chain, file, finding["line"])


async def _python(*arguments: str) -> str:
    """Run Python and return what it printed, else its errors."""
    environ = {**os.environ, "NO_COLOR": "1"}
    _, out, err = await ran((sys.executable, "-P", *arguments), environ=environ, patience=_LONGEST)
    return (out.strip() or err).decode("utf-8", "replace")
