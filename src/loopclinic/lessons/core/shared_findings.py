"""Dataclasses of what scenes find: source lines, how calls ended, stalls of the loop, leftover tasks."""

from dataclasses import dataclass
from typing import Literal

from loopclinic.units import span


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the learner's code."""

    file: str
    line: int
    code: str = ""

    @property
    def quoted(self) -> str:
        """Its code in a sentence."""
        return f"`{self.code}`" if self.code else "something"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call of the lab's code ended, or that it still runs.

    `broken-off`: it was not over in time and ended when it was cancelled, or it kept the loop until it was
    broken off; `running`: it did not end even so.
    """

    how: Literal["returned", "raised", "cancelled", "broken-off", "running"]
    seconds: float
    place: Place | None = None
    """Where it raised or stands, else where it was last seen to wait."""
    value: str = ""
    """The first 200 characters of the repr of what it returned."""
    message: str = ""
    error: tuple[str, ...] = ()
    """Names of the error's class and of its bases."""
    related: tuple[str, ...] = ()
    """The same of that error, the errors that it groups and those that caused it."""
    during: tuple[str, ...] = ()
    """The same of these and of the errors that were being handled when they were raised."""
    unfinished: int = 0
    """Tasks of the call's making that were at work when it ended; 0 unless leftovers are counted."""

    @property
    def returned(self) -> bool:
        """Whether it returned."""
        return self.how == "returned"

    @property
    def raised(self) -> bool:
        """Whether it raised, and not by being cancelled."""
        return self.how == "raised"

    @property
    def overdue(self) -> bool:
        """Whether it was given up before it was over: a busy machine may be why."""
        return self.how in {"broken-off", "running"}

    def is_error(self, name: str) -> bool:
        """Return whether it raised this error, or one derived from it."""
        return self.raised and name in self.error

    @property
    def said(self) -> str:
        """What it raised, if it did."""
        return self.message if self.raised else "CancelledError"

    def __str__(self) -> str:
        """Return how it ended as the rest of a sentence whose subject is the call."""
        if self.overdue:
            return f"was not done after {span(self.seconds)}"
        return f"returned {self.value}" if self.returned else f"raised {self.said}"


@dataclass(frozen=True, slots=True)
class Stall:
    """The learner's line at which the loop was stuck longest."""

    place: Place
    seconds: float
    """Of the longest stall at that line."""
    conflict: str | None
    """The conflict that it looks like, or None."""


@dataclass(frozen=True, slots=True)
class Loop:
    """What happened to the loop while it was watched. Times in seconds."""

    seconds: float
    alone: float
    """Of these, what could have been idle at least."""
    busy: float
    """The share of a time of `alone` seconds or more for which the loop was busy, 0 to 1."""
    computing: float
    """The share of the loop's busy time for which its thread was on a processor."""
    lag: float
    """What an event that comes at a random moment waits on average."""
    lag_p99: float
    threads: int
    """The most threads beyond those that there were when the check began."""
    stall: Stall | None
    waited: Place | None
    """The line at which calls waited most."""
    nested: bool
    """Whether a loop was run inside of this one."""

    @property
    def place(self) -> Place | None:
        """The line that stalled the loop longest, else that at which calls waited most."""
        return self.stall.place if self.stall else self.waited


@dataclass(frozen=True, slots=True)
class Left:
    """Tasks that a call left at work, and the line of one."""

    tasks: int = 0
    place: Place | None = None
