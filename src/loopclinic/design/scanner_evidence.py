"""Runs the scanner on the variants' code and maps each finding to its variants."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loopclinic.conflicts import CONFLICTS
from loopclinic.design.compared_code import Subject
from loopclinic.runner.wording import shown
from loopclinic.scanner import Finding, Report
from loopclinic.scanner.cache import folder
from loopclinic.scanner.finding import CONFIDENCES
from loopclinic.scanner.options import settings_for
from loopclinic.scanner.scanning import scan_path


@dataclass(frozen=True, slots=True)
class Evidence:
    """One finding, with paths as a person would write them, and whose code it stands in."""

    finding: Finding
    variants: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**self.finding.as_dict(), "variants": list(self.variants)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Evidence":
        """Rebuild it from `to_dict()`."""
        plain = {name: value for name, value in values.items() if name != "variants"}
        return cls(Finding.from_dict(plain), tuple(values["variants"]))


def gathered(subjects: Sequence[Subject]) -> tuple[Evidence, ...]:
    """Scan what the subjects are made of, without running it; the surest findings first.

    SettingsError if the project's own settings of the scanner can't be used.
    """
    reports: dict[Path, Report] = {}
    found: dict[Finding, dict[str, None]] = {}
    for subject in subjects:
        if not subject.files:
            continue
        root = Path(os.path.commonpath(subject.files))
        if root not in reports:
            options = settings_for(root, exclude=(), baseline="", min_confidence="hint")
            reports[root] = scan_path(root, options, cache=folder())
        mine = {str(file) for file in subject.files}
        base = root if root.is_dir() else root.parent
        for one in reports[root].findings:
            if str(base / one.file) in mine:
                found.setdefault(_placed(one, base), {})[subject.name] = None
    return tuple(Evidence(one, tuple(found[one])) for one in sorted(found, key=_order))


def _order(one: Finding) -> tuple[int, int, str, int]:
    return -CONFIDENCES.index(one.confidence), CONFLICTS[one.kind].rank, one.file, one.line


def _placed(one: Finding, base: Path) -> Finding:
    chain = tuple(replace(frame, file=shown(str(base / frame.file))) for frame in one.chain)
    return replace(one, file=shown(str(base / one.file)), chain=chain)
