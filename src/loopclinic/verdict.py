"""What a check concluded about a lab, and why."""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from loopclinic.conflicts import CONFLICTS, first

__all__ = ["Reason", "Status", "Verdict"]

Status = Literal["passed", "not-yet", "could-not-run"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a lab from passing: a sentence, the number, the budget, the place.

    Lines after the first of `sentence` are code, such as a line with a caret under it.
    `conflict` is a name from `loopclinic.conflicts`, or None where the file itself is the trouble.
    `measured` and `budget` are short texts with units, such as "412 ms". `next_step` says what to do.
    `timed`: it rests on how long something took, so that a machine with too much to do may be the cause.
    """

    sentence: str
    conflict: str | None = None
    measured: str | None = None
    budget: str | None = None
    file: str | None = None
    line: int | None = None
    next_step: str | None = None
    timed: bool = False

    def __post_init__(self) -> None:
        if self.conflict is not None and self.conflict not in CONFLICTS:
            raise ValueError(
                f"{self.conflict!r} is not in loopclinic.conflicts.CONFLICTS: add it there."
            )

    @property
    def where(self) -> str | None:
        """The place as `file:line`, or None."""
        if self.file is None:
            return None
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def to_dict(self) -> dict[str, Any]:
        """Return the reason as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check concluded: `status`, the `reasons` (worst first), the vitals it rests on.

    `seconds` is how long the check took; `seed` replays it.
    """

    lesson: str
    status: Status
    reasons: tuple[Reason, ...] = ()
    vitals: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 0.0
    headline: str = ""

    @property
    def passed(self) -> bool:
        """Whether the lab keeps its contract."""
        return self.status == "passed"

    @property
    def conflicts(self) -> tuple[str, ...]:
        """The conflicts found, each once, by precedence."""
        names = {reason.conflict for reason in self.reasons if reason.conflict}
        return tuple(sorted(names, key=lambda name: CONFLICTS[name].rank))

    @property
    def conflict(self) -> str | None:
        """The conflict that takes precedence, or None."""
        return first(self.conflicts)

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON values (schema 1)."""
        return {
            "schema": 1,
            "lesson": self.lesson,
            "status": self.status,
            "passed": self.passed,
            "headline": self.headline,
            "conflicts": list(self.conflicts),
            "reasons": [reason.to_dict() for reason in self.reasons],
            "vitals": dict(self.vitals),
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
        }

    def to_json(self) -> str:
        """Return the verdict as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a verdict from `to_dict()`.

        Raises:
            ValueError: the schema is newer than this version of loopclinic.
        """
        if data.get("schema") != 1:
            raise ValueError(
                f"verdict schema {data.get('schema')!r} is unknown: update loopclinic."
            )
        return cls(
            lesson=data["lesson"],
            status=data["status"],
            headline=data.get("headline", ""),
            reasons=tuple(Reason(**reason) for reason in data["reasons"]),
            vitals=data["vitals"],
            seed=data["seed"],
            seconds=data["seconds"],
        )

    def __str__(self) -> str:
        lines = [f"{self.lesson}: {_WORDS[self.status]}. {self.headline}".rstrip()]
        for reason in self.reasons:
            place = f"  ({reason.where})" if reason.where else ""
            name = f"[{reason.conflict}] " if reason.conflict else ""
            sentence, *code = reason.sentence.split("\n")
            lines.append(f"  - {name}{sentence}{place}")
            lines += [f"      {line}" for line in code]
            if reason.measured is not None:
                bound = f", budget {reason.budget}" if reason.budget is not None else ""
                lines.append(f"      measured {reason.measured}{bound}")
            if reason.next_step:
                lines.append(f"      next: {reason.next_step}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        color = {"passed": "#009E73", "not-yet": "#D55E00", "could-not-run": "#777777"}[self.status]
        rows = "".join(map(_row, self.reasons))
        reasons = f"<ul style='margin:.3em 0 0;padding-left:1.2em'>{rows}</ul>" if rows else ""
        return (
            f"<div role='status' style='border-left:4px solid {color};padding:.3em .8em'>"
            f"<b style='color:{color}'>{html.escape(_WORDS[self.status])}</b> "
            f"{html.escape(self.headline)}"
            f"<span style='opacity:.7'> lesson {html.escape(self.lesson)}, {self.seconds:.1f} s, "
            f"seed {self.seed}</span>{reasons}</div>"
        )


def _row(reason: Reason) -> str:
    sentence, _, code = reason.sentence.partition("\n")
    name = f"<b>{html.escape(reason.conflict)}</b> " if reason.conflict else ""
    lines = [name + _prose(sentence)]
    if code:
        lines.append(f"<pre style='margin:.2em 0'>{html.escape(code)}</pre>")
    if reason.where:
        lines.append(f"<div><code>{html.escape(reason.where)}</code></div>")
    if reason.measured is not None:
        bound = f", budget {html.escape(reason.budget)}" if reason.budget is not None else ""
        lines.append(f"<div>measured {html.escape(reason.measured)}{bound}</div>")
    if reason.next_step:
        lines.append(f"<div>Next: {_prose(reason.next_step)}</div>")
    return f"<li style='margin:.4em 0'>{''.join(lines)}</li>"


def _prose(sentence: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(sentence))


_WORDS: dict[str, str] = {
    "passed": "Passed",
    "not-yet": "Not yet",
    "could-not-run": "Could not run",
}
