"""`Verdict` and `Reason`: what a check concluded about a lab, and why."""

import html
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from loopclinic.conflicts import CONFLICTS, first
from loopclinic.drawing.tables import Drawing

Status = Literal["passed", "not-yet", "too-busy", "could-not-run"]
PromiseState = Literal["kept", "broken", "not-judged", "not-reached"]
_SCHEMA = 2

WORDS: dict[Status, str] = {
    "passed": "Passed",
    "not-yet": "Not yet",
    "too-busy": "Not certain",
    "could-not-run": "Could not run",
}
"""What a learner reads of a status."""
SIGNS = "Signs, not findings"
"""What a learner reads above a verdict's signs."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a lab from passing: a sentence, the number, the budget, the place.

    Lines after the first of `sentence` are code, such as a line with a caret under it.
    `conflict` is a name from `loopclinic.conflicts`, or None where the file itself is the trouble.
    `measured` and `budget` are short texts with units, such as "412 ms". `next_step` says what to do.
    `promise` is the number of the contract's promise that is broken, None where it is none of them. What
    else the same cause breaks is among the verdict's promises only.
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
        object.__setattr__(self, "sentence", _ended(self.sentence))
        # Whatever promise it broke, there is one thing to do about it.
        if unknown := re.search(r"NameError: name '(\w+)' is not defined", self.sentence):
            object.__setattr__(self, "next_step", f"Import or define {unknown[1]}.")
        if "a coroutine was expected, got <function" in self.sentence:
            object.__setattr__(self, "next_step", "Call the function: a task runs a coroutine.")
        if re.search(r"'coroutine'|not coroutine\b|<coroutine object", self.sentence):
            object.__setattr__(self, "conflict", "unawaited-coroutine")
            step = "Await it: calling an async function only makes a coroutine."
            object.__setattr__(self, "next_step", step)
        if self.conflict is not None and self.conflict not in CONFLICTS:
            known = "loopclinic.conflicts.CONFLICTS"
            raise ValueError(f"{self.conflict!r} is not in {known}: add it there.")

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

    `signs` is what would be further reasons on an idle machine. `promises` is the lab's contract, in order.
    `seconds` is how long the check took; `seed` replays it.
    """

    lesson: str
    status: Status
    reasons: tuple[Reason, ...] = ()
    vitals: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 0.0
    headline: str = ""
    promises: tuple[Promise, ...] = ()
    signs: tuple[Reason, ...] = ()

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
        states = [promise.state for promise in self.promises]
        said = f"{states.count('kept')} of {len(states)} promises kept."
        hidden = states.count("not-judged")
        if hidden and self.status == "not-yet":
            said += f" {hidden} can't be judged before the broken ones are fixed."
        return said

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
            "signs": [sign.to_dict() for sign in self.signs],
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

        ValueError if a newer loopclinic made it.
        """
        if data.get("schema") not in (1, _SCHEMA):
            unknown = f"verdict schema {data.get('schema')!r} is unknown"
            raise ValueError(f"{unknown}: update loopclinic.")
        return cls(
            lesson=data["lesson"],
            status=data["status"],
            headline=data.get("headline", ""),
            promises=tuple(Promise(**promise) for promise in data.get("promises", ())),
            reasons=tuple(Reason(**reason) for reason in data["reasons"]),
            signs=tuple(Reason(**sign) for sign in data.get("signs", ())),
            vitals=data["vitals"],
            seed=data["seed"],
            seconds=data["seconds"],
        )

    def __str__(self) -> str:
        lines = [f"{self.lesson}: {WORDS[self.status]}. {self.headline}".rstrip()]
        for reason in self.reasons:
            lines += _lines(reason)
        if self.signs:
            lines.append(f"  {SIGNS}:")
        for sign in self.signs:
            lines += _lines(sign)
        if self.promises:
            lines.append(f"  {self.tally}")
        if not self.passed:
            lines += [f"    {promise}" for promise in self.promises]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        color = _COLORS[self.status]
        rows, signs = ("".join(map(_row, some)) for some in (self.reasons, self.signs))
        return Drawing(
            f"<div role='status' style='border-left:4px solid {color};padding:.3em .8em'>"
            f"<p class='lc-say'><b style='color:{color}'>{WORDS[self.status]}</b> "
            f"{html.escape(self.headline)} <span class='lc-muted'>lesson {html.escape(self.lesson)}, "
            f"{self.seconds:.1f} s, seed {self.seed}</span></p>"
            f"{rows and f'<ul>{rows}</ul>'}"
            f"{signs and f'<details><summary>{SIGNS}</summary><ul>{signs}</ul></details>'}"
            f"{self._promises_html()}</div>",
            str(self),
        )._repr_html_()

    def _promises_html(self) -> str:
        if not self.promises:
            return ""
        tally = f"<p>{self.tally}</p>"
        if self.passed:
            return tally
        rows = "".join(
            f"<tr><td class='lc-short'>{one.number}</td><td class='lc-short' style='color:{_COLORS[one.state]}'>"
            f"{_STATES[one.state]}</td><td>{_prose(one.text)}</td></tr>"
            for one in self.promises
        )
        return f"{tally}<table aria-label='The promises of the contract'>{rows}</table>"


def _ended(sentence: str) -> str:
    """Return a sentence with one full stop at its end: what it quotes may bring its own, or none."""
    if "\n" in sentence:
        return sentence
    sentence = sentence.rstrip(": ")
    if sentence.endswith("..") and not sentence.endswith("..."):
        sentence = sentence[:-1]
    return sentence if sentence.endswith((".", "!", "?", ")")) else f"{sentence}."


def _lines(reason: Reason) -> Iterator[str]:
    place = f"  ({reason.where})" if reason.where else ""
    name = f"[{reason.conflict}] " if reason.conflict else ""
    sentence, *code = reason.sentence.split("\n")
    yield f"  - {name}{sentence}{place}"
    yield from (f"      {line}" for line in code)
    if reason.measured is not None:
        bound = f", budget {reason.budget}" if reason.budget is not None else ""
        yield f"      measured {reason.measured}{bound}"
    if reason.next_step:
        yield f"      next: {reason.next_step}"


def _row(reason: Reason) -> str:
    sentence, _, code = reason.sentence.partition("\n")
    name = f"<b>{html.escape(reason.conflict)}</b> " if reason.conflict else ""
    lines = [name + _prose(sentence)]
    if code:
        lines.append(f"<pre>{html.escape(code)}</pre>")
    if reason.where:
        lines.append(f"<div><code>{_link(reason)}</code></div>")
    if reason.measured is not None:
        bound = f", budget {html.escape(reason.budget)}" if reason.budget is not None else ""
        lines.append(f"<div>measured {html.escape(reason.measured)}{bound}</div>")
    if reason.next_step:
        lines.append(f"<div>Next: {_prose(reason.next_step)}</div>")
    return f"<li style='margin:.4em 0'>{''.join(lines)}</li>"


def _link(reason: Reason) -> str:
    """Return the place as a link from the kernel's folder, which is its notebook's."""
    file = reason.file or ""
    path = Path(os.path.relpath(file)).as_posix()
    near = path.removeprefix("../")  # from the kit's folder
    shown = (reason.where or "").replace(file, file if near.startswith("../") else near)
    return f'<a href="{html.escape(path)}">{html.escape(shown)}</a>'


def _prose(sentence: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(sentence))


_STATES: dict[PromiseState, str] = {
    "kept": "kept",
    "broken": "broken",
    "not-judged": "not judged",
    "not-reached": "not reached",
}
_COLORS = {
    **dict.fromkeys(("passed", "kept"), "var(--lc-calm)"),
    **dict.fromkeys(("not-yet", "broken"), "var(--lc-stall)"),
    **dict.fromkeys(("too-busy", "could-not-run", "not-judged", "not-reached"), "var(--lc-muted)"),
}
