"""A finding: a conflict at a line, with the calls that lead to it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from loopclinic.conflicts import CONFLICTS, WEIGHTS
from loopclinic.units import count, duration

CONFIDENCES = ("hint", "likely", "certain")
"""From the least to the most: hints are heuristic and never fail a gate unless asked for."""

RAISED = ("request", "bot", "worker", "callback")
LOWERED = {"once": 1, "start": 2, "stop": 2, "command": 2, "script": 2, "test": 2}
"""What calls a function from outside: what runs while others wait, and what runs once or for nobody
else, with the steps by which that makes a finding lighter."""

_WRONG_ANYWHERE = frozenset(
    {
        "dropped-gather-results",
        "lazy-init-race",
        "loop-bound-primitive",
        "nested-loop",
        "shared-connection",
        "thread-lock-in-async",
        "unawaited-coroutine",
    }
)
"""These go wrong wherever they run; the others cost time or resources."""


def weighed(kind: str, weight: int, context: str) -> str:
    """Return one of WEIGHTS: that of a leaf or a kind, less for what runs once or for nobody else."""
    by_itself = context in ("test", "script")
    wrong = kind in _WRONG_ANYWHERE and (not by_itself or kind == "unawaited-coroutine")
    steps = 0 if wrong else LOWERED.get(context, 0)  # a test that awaits nothing tests nothing
    return WEIGHTS[max(0, weight - steps)]


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


@dataclass(frozen=True, slots=True)
class Finding:
    """A conflict. Lines and columns count from 1; `chain` runs from the caller to the leaf."""

    file: str
    line: int
    column: int
    kind: str
    message: str
    source: str = ""
    """The line's own text."""
    chain: tuple[Frame, ...] = ()
    lesson: str | None = None
    confidence: str = "certain"
    weight: str = "medium"
    """One of WEIGHTS: how much it matters where it runs."""
    context: str = ""
    """What calls the function it stands in: one of RAISED and LOWERED, or nothing where none is known."""
    entry: str = ""
    """Its name: `POST /orders` of a request."""
    seen: int = -1
    """Stalls that a run saw there, and their seconds; -1 where no run was asked."""
    seen_seconds: float = 0.0

    @property
    def order(self) -> tuple[Any, ...]:
        """What findings are sorted by: the heaviest first, then those that others wait for."""
        return (
            -self.seen_seconds,
            -WEIGHTS.index(self.weight),
            self.context not in RAISED,
            -CONFIDENCES.index(self.confidence),
            CONFLICTS[self.kind].rank,
            self.file,
            self.line,
            self.column,
        )

    @property
    def leaf(self) -> tuple[str, int, str]:
        """Where its chain ends, which is where the work is: file, line, and what is called there."""
        last = self.chain[-1] if self.chain else Frame(self.file, self.line, "")
        return last.file, last.line, last.call

    @property
    def called_by(self) -> str:
        """What calls it, in words: `request POST /orders`, `test`, or nothing."""
        return f"{self.context} {self.entry}".strip()

    @property
    def about(self) -> str:
        """Confidence, weight, what calls it, what a run saw there, and the lesson that treats it."""
        saw = ""
        if self.seen >= 0:
            saw = "no stall seen" if not self.seen else f"seen {count(self.seen, 'time')}"
            saw += f", {duration(self.seen_seconds)}" * bool(self.seen)
        lesson = f"lesson {self.lesson}" if self.lesson else ""
        return ", ".join(filter(None, (self.confidence, self.weight, self.called_by, saw, lesson)))

    @property
    def through_calls(self) -> bool:
        """Whether what blocks stands in a function that is called here, not here itself."""
        return len(self.chain) > 1

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON report."""
        plain = asdict(self)
        return {**plain, "chain": [*plain["chain"]]}

    def with_seen(self, times: int, seconds: float) -> Self:
        """Return the finding with the stalls that a run saw there."""
        return replace(self, seen=times, seen_seconds=seconds)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a finding from `as_dict()`."""
        return cls(**{**values, "chain": tuple(Frame(**one) for one in values["chain"])})


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
        return asdict(self)
