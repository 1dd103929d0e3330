"""One finding: a conflict at a line, with the calls that lead to it."""

from dataclasses import dataclass
from typing import Any

__all__ = ["CONFIDENCES", "Finding", "Frame", "Skipped", "weakest"]

CONFIDENCES = ("hint", "likely", "certain")
"""From the least to the most: hints are heuristic and never fail a gate unless asked for."""


def weakest(*confidences: str) -> str:
    """Return the least sure of some confidences."""
    return min(confidences, key=CONFIDENCES.index)


@dataclass(frozen=True, slots=True)
class Frame:
    """One step of a chain: a call of `call` in `function`."""

    file: str
    line: int
    function: str
    call: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON report."""
        return {
            "file": self.file,
            "line": self.line,
            "function": self.function,
            "call": self.call,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """A conflict. Lines and columns count from 1; `chain` runs from the caller to the leaf."""

    file: str
    line: int
    column: int
    kind: str
    message: str
    confidence: str = "certain"
    chain: tuple[Frame, ...] = ()
    lesson: str | None = None
    source: str = ""
    """The line's own text."""

    @property
    def through_calls(self) -> bool:
        """Whether what blocks stands in a function that is called here, not here itself."""
        return len(self.chain) > 1

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON report."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "kind": self.kind,
            "message": self.message,
            "source": self.source,
            "chain": [frame.as_dict() for frame in self.chain],
            "lesson": self.lesson,
            "confidence": self.confidence,
        }


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that was not read, and why."""

    file: str
    line: int | None
    reason: str

    @property
    def where(self) -> str:
        """The place as `file:line`, or the file alone."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON report."""
        return {"file": self.file, "line": self.line, "reason": self.reason}
