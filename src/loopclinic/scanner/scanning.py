"""Scans a code base from end to end: lists files, collects their facts, runs the detectors."""

import gc
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from loopclinic.blocking_calls import catalogue
from loopclinic.conflicts import TREATMENTS, WEIGHTS
from loopclinic.scanner import source_files as discovery
from loopclinic.scanner.baseline import Baseline
from loopclinic.scanner.cache import Cache
from loopclinic.scanner.detector_input import Survey
from loopclinic.scanner.facts.syntax_queries import deep
from loopclinic.scanner.file_facts import Reading, decoded
from loopclinic.scanner.finding import CONFIDENCES, Finding, Skipped
from loopclinic.scanner.kinds import DETECTORS
from loopclinic.scanner.modules import Modules
from loopclinic.scanner.options import Settings
from loopclinic.scanner.project import Project
from loopclinic.scanner.scan_report import Report
from loopclinic.scanner.unused import without_callers
from loopclinic.scanner.worker_pool import read_all

Progress = Callable[[int, int], None]
"""Told how many files have been read, of how many."""


def scan_path(
    root: Path,
    settings: Settings,
    *,
    cache: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Scan a file or a folder. Nothing of it is imported or run, and nothing written beside it.

    `cache` is the folder where scans are remembered; None remembers nothing.

    Raises:
        FileNotFoundError: there is no such path.
        OSError: the path can't be looked at.
    """
    started = time.perf_counter()
    root = discovery.existing(root)
    paths, skipped = discovery.find(root, settings.exclude)
    hashes = _hashes(root, paths)
    memory = Cache(root, cache)
    key = _key(paths, hashes, skipped, settings)
    known = memory.result(key)
    if known is not None:
        report = Report.from_dict(str(root), known)
    else:
        with _no_collections():
            readings = _readings(root, paths, hashes, memory, jobs, progress)
            report = _look(root, paths, readings, skipped, settings)
        memory.keep_result(key, report.as_dict())
    report = _reduced(report, settings)
    return replace(report, seconds=time.perf_counter() - started)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Pause the search for cycles: facts have none, and looking for some takes a fifth of a scan."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _hashes(root: Path, paths: list[str]) -> list[bytes | None]:
    folder = root if root.is_dir() else root.parent
    found: list[bytes | None] = []
    for one in paths:
        try:
            data = (folder / one).read_bytes()
            found.append(hashlib.blake2b(data, digest_size=16).digest())
        except OSError:
            found.append(None)
    return found


def _key(
    paths: list[str], hashes: list[bytes | None], skipped: list[Skipped], settings: Settings
) -> str:
    own = repr((settings.catalogue, settings.blocking))
    seen = hashlib.blake2b(own.encode(), digest_size=16)
    for path, digest in zip(paths, hashes, strict=True):
        seen.update(path.encode("utf-8", "surrogateescape") + (digest or b"?"))
    seen.update(repr(skipped).encode("utf-8", "replace"))
    return seen.hexdigest()


def _readings(  # noqa: PLR0917 - one caller, in this file
    root: Path,
    paths: list[str],
    hashes: list[bytes | None],
    memory: Cache,
    jobs: int | None,
    progress: Progress | None,
) -> dict[int, Reading]:
    known = memory.readings()
    readings: dict[int, Reading] = {}
    missing: list[tuple[int, str]] = []
    for position, digest in enumerate(hashes):
        if digest is not None and digest in known:
            readings[position] = known[digest]
        else:
            missing.append((position, paths[position]))
    for position, one in read_all(root, missing, jobs) if missing else ():
        readings[position] = one
        if progress is not None:
            progress(len(readings), len(paths))
    if missing:
        memory.keep_readings(
            {digest: readings[at] for at, digest in enumerate(hashes) if digest is not None}
        )
    return readings


def _look(
    root: Path,
    paths: list[str],
    readings: dict[int, Reading],
    skipped: list[Skipped],
    settings: Settings,
) -> Report:
    bad = {at: one for at, one in sorted(readings.items()) if one.reason}
    skipped = [*skipped, *(Skipped(paths[at], one.line, one.reason) for at, one in bad.items())]
    good = {at: one for at, one in sorted(readings.items()) if not one.reason}
    dumps = {at: one.dump for at, one in good.items()}
    summaries = {at: one.summary for at, one in good.items() if one.summary is not None}
    live = [at for at, one in good.items() if one.live]
    entries = catalogue(settings.catalogue, settings.blocking)
    with deep():
        modules = Modules(paths, discovery.above(root), entries.roots)
        survey = Survey(paths, Project(dumps, summaries, live, modules, entries))
        found = [one for detect in DETECTORS for one in detect(survey)]
    found = _at_source(root, _unignored(_joined(found), survey, paths))
    found = without_callers(root, paths, found, survey)
    figures = summaries.values()
    counts = {
        "files": len(paths),
        "files_read": len(good),
        "lines": sum(one.lines for one in figures),
        "mixed_files": sum(1 for one in figures if one.async_functions and one.sync_functions),
        "async_functions": sum(one.async_functions for one in figures),
        "sync_functions": sum(one.sync_functions for one in figures),
        "asyncio_run_calls": sum(one.loop_runs for one in figures),
        "syntax_errors": sum(one.reason.startswith("syntax error") for one in bad.values()),
        "unresolved_calls": survey.graph.unresolved,
    }
    return Report(str(root), tuple(found), tuple(skipped), counts)


def _joined(found: Iterable[Finding]) -> list[Finding]:
    """Return one finding a line and kind.

    A `with` that should be `async with` is only that, and a task that a thread makes only another loop's.
    """
    places = {(one.file, one.line, one.kind) for one in found}
    kept: dict[tuple[str, int, str], Finding] = {}
    for one in found:
        instead = "sync-cm-mixed" if one.kind.startswith("blocking-") else ""
        instead = "loop-bound-primitive" if one.kind == "dropped-task" else instead
        if (one.file, one.line, instead) in places:
            continue
        place = (one.file, one.line, one.kind)
        before = kept.get(place)
        if before is None or _closer(one) < _closer(before):
            kept[place] = one
    return sorted(kept.values(), key=lambda one: one.order)


def _closer(one: Finding) -> tuple[Any, ...]:
    return (*one.order[:4], len(one.chain))


def _unignored(found: list[Finding], survey: Survey, paths: list[str]) -> list[Finding]:
    numbers = {path: number for number, path in enumerate(paths)}
    return [
        one for one in found if not survey.project.of(numbers[one.file]).ignored(one.line, one.kind)
    ]


def _at_source(root: Path, found: list[Finding]) -> list[Finding]:
    """Add each line's text and lesson, and count columns in characters."""
    folder = root if root.is_dir() else root.parent
    lines: dict[str, list[str]] = {}
    done = []
    for one in found:
        if one.file not in lines:
            try:
                lines[one.file] = decoded((folder / one.file).read_bytes()).split("\n")
            except (OSError, ValueError):
                lines[one.file] = []
        text = lines[one.file][one.line - 1] if one.line <= len(lines[one.file]) else ""
        column = len(text.encode()[: one.column - 1].decode("utf-8", "replace")) + 1
        lesson, _ = TREATMENTS.get(one.kind, (None, ""))
        done.append(replace(one, column=column, source=text.strip(), lesson=lesson))
    return done


def _reduced(report: Report, settings: Settings) -> Report:
    surest = CONFIDENCES.index(settings.min_confidence or CONFIDENCES[0])
    heaviest = WEIGHTS.index(settings.min_weight or WEIGHTS[0])
    wanted = [
        one
        for one in report.findings
        if one.kind not in settings.ignore and not _ignored_here(one, settings)
    ]
    wanted, unneeded = _allowed(wanted, settings)
    sure = [one for one in wanted if CONFIDENCES.index(one.confidence) >= surest]
    found = [one for one in sure if WEIGHTS.index(one.weight) >= heaviest]
    left_out = {
        "unsure_left_out": len(wanted) - len(sure),
        "light_left_out": len(sure) - len(found),
    }
    counts = {**report.counts, **{name: many for name, many in left_out.items() if many}}
    if settings.baseline:
        baseline = Baseline.load(Path(settings.baseline))
        found, known = baseline.without(found)
        counts["in_baseline"] = known
    return replace(report, findings=tuple(found), counts=counts, unneeded=tuple(unneeded))


def _ignored_here(one: Finding, settings: Settings) -> bool:
    return any(
        {"any", one.kind} & {*kinds} and _below(one.file, pattern)
        for pattern, kinds in settings.per_path_ignores.items()
    )


def _below(file: str, pattern: str) -> bool:
    """Return whether a file matches a pattern, or lies in a folder that does."""
    return fnmatch(file, pattern) or fnmatch(file, f"{pattern.rstrip('/')}/*")


def _allowed(found: list[Finding], settings: Settings) -> tuple[list[Finding], list[str]]:
    """Return the findings that no entry of `allow` covers, and the entries that cover none."""
    needed: set[int] = set()
    left: list[Finding] = []
    for one in found:
        function = one.chain[0].function if one.chain else ""
        by = [
            number
            for number, entry in enumerate(settings.allow)
            if entry["kind"] == one.kind
            and _below(one.file, entry["path"])
            and entry.get("function", function) == function
            and entry.get("source", one.source) == one.source
        ]
        needed.update(by)
        if not by:
            left.append(one)
    unneeded = [
        f"allow: {entry['kind']} in {entry['path']} ({entry['reason']})"
        for number, entry in enumerate(settings.allow)
        if number not in needed
    ]
    return left, unneeded
