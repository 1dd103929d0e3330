"""Data model of a timeline: one lane per task, its spans, and the loop's stalls."""

from dataclasses import dataclass
from typing import Literal

State = Literal["running", "ready", "suspended"]
"""The loop runs the task; it could run, but for the loop; it awaits something."""
Outcome = Literal["pending", "done", "cancelled", "failed", "lost"]
"""`lost` is a task that was destroyed before it was done: nobody held it."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a lane in one state. Times are in the unit of the trace, from its beginning."""

    state: State
    started: float
    ended: float
    where: str = ""
    """The user's line: of a suspended span the one that awaits, of a running one that it runs up to."""
    code: str = ""
    """The source of that line, stripped."""
    waits_for: str = ""
    """What a suspended task waits for: `lock`, `semaphore`, `queue`, `sleep`, `thread`, `I/O`, `task NAME` ..."""
    label: str = ""
    """Words to write on the span, as of a step that a search has recorded: `get -> 19`."""

    @property
    def length(self) -> float:
        """How long it lasted."""
        return self.ended - self.started


@dataclass(frozen=True, slots=True)
class Lane:
    """One task, from its birth to its end, or to where the trace ends."""

    name: str
    spans: tuple[Span, ...] = ()
    """In order, without an overlap. Where one is missing nothing is known."""
    born: float = 0.0
    """Zero, too, for a task that is older than the trace."""
    ended: float | None = None
    """None for a task that had not ended."""
    outcome: Outcome = "pending"
    error: str = ""
    """What a failed task raised: `ValueError: no such item`."""
    coroutine: str = ""
    """The task's own coroutine: `checkout (orders.py:12)`."""
    cancel_requests: tuple[float, ...] = ()
    """When somebody asked the task to end, by `cancel()`."""
    own: bool = True
    """Its coroutine or a line where it waits is not an installed package's."""
    left_out: int = 0
    """Steps that were not kept, the earliest ones."""

    def seconds(self, state: State) -> float:
        """Return how long the task was in a state."""
        return sum(one.length for one in self.spans if one.state == state)


@dataclass(frozen=True, slots=True)
class LaneStall:
    """A time in which the loop ran one callback and no other lane could move."""

    started: float
    ended: float
    where: str = ""
    code: str = ""
    going_on: bool = False
    """It had not ended when the trace was taken."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Lanes in the order of their birth, over one axis that begins at zero."""

    lanes: tuple[Lane, ...]
    end: float
    stalls: tuple[LaneStall, ...] = ()
    unit: Literal["seconds", "steps"] = "seconds"
    """`steps` for lanes made of a schedule in which only the order matters."""
    notes: tuple[str, ...] = ()
    """What was left out, and what is not known, in sentences."""
