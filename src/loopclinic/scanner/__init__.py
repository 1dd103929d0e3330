"""Finds conflicts in a code base without running it: facts per file, a call graph, and detectors.

facts/       one pass over one file: small tuples, after which its syntax tree is dropped
catalogue/   what blocks, as data
modules, project, types, calls, annotated    names, classes and values across files
decorators, parameters, outcomes, graph      what a call leads to, and the shortest way to what blocks
kinds/       the detectors; reports/ the forms of the result
files, reading, crew, cache, settings, baseline, scanning    a scan from beginning to end
"""

from collections.abc import Sequence
from pathlib import Path

from loopclinic.scanner.cache import folder
from loopclinic.scanner.files import existing
from loopclinic.scanner.findings import Finding, Frame, Skipped
from loopclinic.scanner.report import Report
from loopclinic.scanner.scanning import scan_path
from loopclinic.scanner.settings import settings_for

__all__ = ["Finding", "Frame", "Report", "Skipped", "scan"]


def scan(
    path: str | Path,
    *,
    min_confidence: str | None = None,
    exclude: Sequence[str] | None = None,
    cached: bool = True,
) -> Report:
    """Scan a file or a folder, without importing or running any of it; a notebook shows a table.

    `min_confidence` is "hint" (the default), "likely" or "certain"; `exclude` holds patterns of files
    that are not read. Other options come from `[tool.loopclinic.scan]` in the nearest pyproject.toml.

    Raises:
        FileNotFoundError: there is no such path.
        SettingsError: an option can't be used.
    """
    root = existing(Path(path).expanduser())
    settings = settings_for(
        root,
        min_confidence=min_confidence,
        exclude=tuple(exclude) if exclude is not None else None,
    )
    return scan_path(root, settings, cache=folder() if cached else None)
