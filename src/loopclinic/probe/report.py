"""What a probe found: immutable, free of the loop it came from."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from loopclinic.probe.histogram import Lag
from loopclinic.units import duration

__all__ = ["Callback", "Frame", "Lag", "Place", "Report", "Span", "Stall", "slowest"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stack. `code` is the stripped source line, empty where it is not to be had."""

    file: str
    line: int
    function: str
    code: str
    coroutine: bool = False
    """Whether the function is a coroutine."""

    def to_dict(self) -> dict[str, Any]:
        """Return the frame as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Stall:
    """One iteration of the loop that was busier than the threshold, with the line that caused it.

    `started` is in seconds since the probe began, `seconds` is how long the loop was stuck.
    `file`, `line`, `function` and `code` are those of the innermost frame of the user's own code
    (of the innermost frame at all where there is none), and None if the stall ended unsampled, or
    if no line is to blame: a burst of short callbacks, a garbage collection.
    `first_seen` is how many seconds after it began the stall was noticed, None if only afterwards.
    """

    started: float
    seconds: float
    file: str | None = None
    line: int | None = None
    function: str | None = None
    code: str | None = None
    stack: tuple[Frame, ...] = ()
    """Outermost frame first."""
    gil_held: bool = False
    """No other Python thread could run meanwhile: a C call kept the GIL."""
    first_seen: float | None = None
    cell: str | None = None
    """`cell [5]` where the line stands in a notebook cell."""
    synchronous_cell: bool = False
    """The stall is an ordinary synchronous cell at work, and not a coroutine that blocks."""
    conflict: str | None = None
    """The name in `loopclinic.conflicts` that this looks like, or None."""
    diagnosis: str | None = None
    """One sentence that says what it was and how long it took, or None if nothing tells."""
    task: str | None = None
    """The name of the task that ran, None where it was none or is not known."""
    callbacks: int | None = None
    """How many callbacks the iteration had to run, None where the loop does not tell."""
    burst: bool = False
    """Many short callbacks made up the iteration, and no one line is to blame."""
    garbage: float = 0.0
    """Seconds of it that garbage collections took."""
    heartbeat: float = 0.0
    """How late it made a coroutine that waits for a timer, in seconds, with what was busy right before
    it: such a coroutine may wait for three iterations."""
    callback: str | None = None
    """The handler, job or callback that the loop ran, `charge in app.py`: where the user's own code
    begins below the loop. None for a burst, and where that does not show."""
    thread: str | None = None
    """The name of the thread whose call kept the GIL, None if it was the loop's own."""

    @property
    def chain(self) -> tuple[Frame, ...]:
        """The coroutines that await one another above the line, outermost first.

        Those of one task: what asyncio calls between two of them starts another, eagerly or in a
        nested loop.
        """
        found: list[Frame] = []
        starts = False
        for frame in self.stack:
            if frame.coroutine:
                found = [frame] if starts else [*found, frame]
            starts = not frame.coroutine and (
                starts or "/asyncio/" in frame.file.replace("\\", "/")
            )
        return tuple(found)

    @property
    def where(self) -> str:
        """The place in words: `app.py:12`, `cell [5], line 3`, `5,000 callbacks`, or `unknown line`."""
        if self.file is None:
            if self.burst:
                return f"{self.callbacks:,} callbacks" if self.callbacks else "many callbacks"
            if self.garbage:
                return "garbage collection"
            return "another thread" if self.gil_held else "unknown line"
        if self.cell is not None:
            return f"{self.cell}, line {self.line}"
        return f"{PurePath(self.file).name}:{self.line}"

    def to_dict(self) -> dict[str, Any]:
        """Return the stall as JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"stack": [frame.to_dict() for frame in self.stack], "where": self.where}

    def __str__(self) -> str:
        code = f"  {self.code}" if self.code else ""
        if self.burst or (self.file is None and (self.garbage or self.gil_held)):
            return self.diagnosis or self.where
        return f"{duration(self.seconds)} at {self.where}{code}"


@dataclass(frozen=True, slots=True)
class Place:
    """All stalls of a report that stand at one line. Times in seconds."""

    where: str
    code: str
    conflict: str | None
    count: int
    seconds: float
    longest: float


@dataclass(frozen=True, slots=True)
class Callback:
    """One handler, job or callback that stalled the loop. Times in seconds."""

    name: str
    count: int
    """Of stalls."""
    seconds: float
    longest: float


def slowest(held: Iterable[tuple[str | None, float]]) -> tuple[Callback, ...]:
    """Add up (callback, seconds of one stall), the callback with the longest stall first."""
    groups: dict[str, list[float]] = {}
    for name, seconds in held:
        if name is not None:
            groups.setdefault(name, []).append(seconds)
    found = [Callback(name, len(all_), sum(all_), max(all_)) for name, all_ in groups.items()]
    return tuple(sorted(found, key=lambda one: -one.longest))


@dataclass(frozen=True, slots=True)
class Span:
    """What happened between two snapshots of one probe.

    `utilization` is the busy share of loop time, 0 to 1, or None where the loop can't tell.
    """

    seconds: float
    iterations: int
    utilization: float | None
    lag: Lag


@dataclass(frozen=True, slots=True)
class Report:
    """What a probe found since it began: times in seconds, `utilization` 0 to 1 or None."""

    seconds: float
    iterations: int
    utilization: float | None
    lag: Lag
    stalls: tuple[Stall, ...]
    """The stalls in the order they happened; of very many, the latest thousand."""
    witness_error: str | None = None
    """Why a call that keeps the GIL is named only when it ends, though a witness was asked for."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the loop was stuck, the place with the most seconds first."""
        groups: dict[tuple[str, str, str | None], list[float]] = {}
        for stall in self.stalls:
            where = "bursts of callbacks" if stall.burst else stall.where
            key = where, stall.code or "", stall.conflict
            groups.setdefault(key, []).append(stall.seconds)
        found = [Place(*key, len(all_), sum(all_), max(all_)) for key, all_ in groups.items()]
        return tuple(sorted(found, key=lambda place: -place.seconds))

    @property
    def callbacks(self) -> tuple[Callback, ...]:
        """The slowest handlers, jobs and callbacks: those that were seen to stall the loop."""
        return slowest((stall.callback, stall.seconds) for stall in self.stalls)

    @property
    def heartbeat(self) -> float:
        """How late a coroutine that waits for a timer may have gone on, in seconds, at the worst.

        More than `lag.max` where busy iterations came one right after another.
        """
        return max([self.lag.max, *(stall.heartbeat for stall in self.stalls)])

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "seconds": self.seconds,
            "iterations": self.iterations,
            "utilization": self.utilization,
            "lag": self.lag.to_dict(),
            "heartbeat": self.heartbeat,
            "stalls": [stall.to_dict() for stall in self.stalls],
            "witness_error": self.witness_error,
        }

    def __str__(self) -> str:
        busy = "unknown" if self.utilization is None else f"{self.utilization:.1%}"
        lag = ", ".join(f"{name} {duration(x)}" for name, x in self.lag.to_dict().items())
        lines = [
            f"{self.seconds:.1f} s, {self.iterations} iterations, utilization {busy}",
            f"lag {lag}",
            f"{len(self.stalls)} stall{'s' * (len(self.stalls) != 1)}",
        ]
        lines += [f"  {stall}" for stall in self.stalls[-10:]]
        if self.witness_error is not None:
            lines.append(
                f"a call that keeps the GIL is named only when it ends: {self.witness_error}"
            )
        return "\n".join(lines)
