"""What a scan found: findings, what was skipped, and totals."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.findings import Finding, Frame, Skipped

__all__ = ["Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one scan; paths are relative to `root`."""

    root: str
    findings: tuple[Finding, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """files, files_read, mixed_files, async_functions, sync_functions, asyncio_run_calls, syntax_errors, …"""
    seconds: float = 0.0

    @property
    def nothing_read(self) -> bool:
        """Whether there was no file that could be read."""
        return not self.counts.get("files_read")

    @property
    def by_kind(self) -> dict[str, int]:
        """How many findings there are of each kind, most first."""
        return dict(Counter(one.kind for one in self.findings).most_common())

    @property
    def groups(self) -> list[tuple[str, list[Finding]]]:
        """The findings of each kind, by the precedence of the conflicts."""
        found: dict[str, list[Finding]] = {}
        for one in self.findings:
            found.setdefault(one.kind, []).append(one)
        return sorted(found.items(), key=lambda item: CONFLICTS[item[0]].rank)

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON report."""
        return {
            "findings": [one.as_dict() for one in self.findings],
            "skipped": [one.as_dict() for one in self.skipped],
            "counts": {**self.counts, "by_kind": self.by_kind},
        }

    @classmethod
    def from_dict(cls, root: str, data: Mapping[str, Any]) -> "Report":
        """Read what `as_dict` returned."""
        findings = []
        for one in data["findings"]:
            chain = tuple(Frame(**frame) for frame in one["chain"])
            findings.append(Finding(**{**one, "chain": chain}))
        skipped = tuple(Skipped(**one) for one in data["skipped"])
        counts = {key: value for key, value in data["counts"].items() if key != "by_kind"}
        return cls(root, tuple(findings), skipped, counts)

    def _repr_html_(self) -> str:
        from loopclinic.scanner.reports.notebook import table  # noqa: PLC0415 - for notebooks alone

        return table(self)

    def __str__(self) -> str:
        from loopclinic.scanner.reports.text import plain  # noqa: PLC0415 - only when printed

        return plain(self)
