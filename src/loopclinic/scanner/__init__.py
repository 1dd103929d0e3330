"""Finds conflicts in a code base without running it, from facts per file and a call graph.

facts/       one pass over one file: small tuples, after which its syntax tree is dropped
modules, project, types, functions           names, classes, values and functions across files
event_outcomes, call_graph                   what a call leads to, and the way to the heaviest that blocks
contexts                                     what calls a function from outside
kinds/       the detectors; reports/ the forms of the result
branch, seen, patches                        what a branch adds, what a run saw, what to write instead
source_files, file_facts, worker_pool, cache, options, baseline, scanning    a scan from beginning to end
"""

from collections.abc import Sequence
from pathlib import Path

from loopclinic.scanner.finding import Finding, Frame, Skipped
from loopclinic.scanner.scan_report import Report

__all__ = ["Finding", "Frame", "Report", "Skipped", "scan"]


def scan(
    path: str | Path,
    *,
    min_confidence: str | None = None,
    min_weight: str | None = None,
    exclude: Sequence[str] | None = None,
    cached: bool = True,
) -> Report:
    """Scan a file or a folder, without importing or running any of it; a notebook shows a table.

    `min_confidence` is "hint" (the default), "likely" or "certain", `min_weight` "light" (the default),
    "medium" or "heavy"; `exclude` holds patterns of files
    that are not read. Other options come from `[tool.loopclinic.scan]` in the nearest pyproject.toml.

    Raises:
        FileNotFoundError: there is no such path.
        SettingsError: an option can't be used.
    """
    # Here: `run` reports on findings, and scans nothing.
    from loopclinic.scanner.cache import folder
    from loopclinic.scanner.options import settings_for
    from loopclinic.scanner.scanning import scan_path
    from loopclinic.scanner.source_files import existing

    root = existing(Path(path).expanduser())
    settings = settings_for(
        root,
        min_confidence=min_confidence,
        min_weight=min_weight,
        exclude=tuple(exclude) if exclude is not None else None,
    )
    return scan_path(root, settings, cache=folder() if cached else None)
