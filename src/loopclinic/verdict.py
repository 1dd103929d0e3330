"""What a check concluded about a lab, and why."""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from loopclinic.conflicts import CONFLICTS, first

__all__ = ["Promise", "PromiseState", "Reason", "Status", "Verdict"]

Status = Literal["passed", "not-yet", "could-not-run"]
PromiseState = Literal["kept", "broken", "not-judged", "not-reached"]
_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a lab from passing: a sentence, the number, the budget, the place.

    Lines after the first of `sentence` are code, such as a line with a caret under it.
    `conflict` is a name from `loopclinic.conflicts`, or None where the file itself is the trouble.
    `measured` and `budget` are short texts with units, such as "412 ms". `next_step` says what to do.
    `promise` is the number of the contract's promise that is broken, None where it is none of them.
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
    promise: int | None = None

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
class Promise:
    """What became of one promise of a lab's contract.

    It is kept if every scene that puts it to the test showed so. It is not judged where a scene could not
    tell, and not reached where the check ended before. `text` is the promise's first sentence.
    """

    number: int
    state: PromiseState
    text: str = ""

    def __str__(self) -> str:
        return f"{self.number}. {_STATES[self.state]}: {self.text}".rstrip(": ")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check concluded: `status`, the `reasons` (worst first), the vitals it rests on.

    `promises` is the lab's contract, in order. `seconds` is how long the check took; `seed` replays it.
    """

    lesson: str
    status: Status
    reasons: tuple[Reason, ...] = ()
    vitals: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 0.0
    headline: str = ""
    promises: tuple[Promise, ...] = ()

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

    @property
    def tally(self) -> str:
        """How many promises are kept, as a sentence; empty where no promise was judged."""
        if not self.promises:
            return ""
        kept = sum(promise.state == "kept" for promise in self.promises)
        return f"{kept} of {len(self.promises)} promises kept."

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON values (schema 2)."""
        return {
            "schema": _SCHEMA,
            "lesson": self.lesson,
            "status": self.status,
            "passed": self.passed,
            "headline": self.headline,
            "conflicts": list(self.conflicts),
            "promises": [asdict(promise) for promise in self.promises],
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
        """Rebuild a verdict from `to_dict()`, also from one of schema 1, which had no promises.

        Raises:
            ValueError: the schema is newer than this version of loopclinic.
        """
        if data.get("schema") not in (1, _SCHEMA):
            raise ValueError(
                f"verdict schema {data.get('schema')!r} is unknown: update loopclinic."
            )
        return cls(
            lesson=data["lesson"],
            status=data["status"],
            headline=data.get("headline", ""),
            promises=tuple(Promise(**promise) for promise in data.get("promises", ())),
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
        if self.promises:
            lines.append(f"  {self.tally}")
        if not self.passed:
            lines += [f"    {promise}" for promise in self.promises]
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
            f"seed {self.seed}</span>{reasons}{self._promises_html()}</div>"
        )

    def _promises_html(self) -> str:
        if not self.promises:
            return ""
        tally = f"<div>{self.tally}</div>"
        if self.passed:
            return tally
        rows = "".join(
            f"<tr><td>{promise.number}</td><td style='{_STYLES.get(promise.state, 'opacity:.7')}'>"
            f"{_STATES[promise.state]}</td><td style='text-align:left'>{_prose(promise.text)}</td></tr>"
            for promise in self.promises
        )
        return f"{tally}<table aria-label='The promises of the contract'>{rows}</table>"


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


_STATES: dict[PromiseState, str] = {
    "kept": "kept",
    "broken": "broken",
    "not-judged": "not judged",
    "not-reached": "not reached",
}
_STYLES: dict[PromiseState, str] = {"kept": "color:#009E73", "broken": "color:#D55E00"}
_WORDS: dict[str, str] = {
    "passed": "Passed",
    "not-yet": "Not yet",
    "could-not-run": "Could not run",
}
