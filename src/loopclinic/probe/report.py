"""Report, stalls and running totals of a probe: immutable, free of the loop they came from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from loopclinic.probe.census import Waiting
from loopclinic.probe.histogram import BUCKETS, SHORT, Lag, bucket, lag_of
from loopclinic.units import count, duration


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
class Share:
    """What one line took of a stall: seconds, and the share of the stall's length, 0 to 1."""

    file: str
    line: int
    function: str
    seconds: float
    share: float
    code: str = ""
    """The stripped source line."""
    cell: str | None = None
    """`cell [5]` where the line stands in a notebook cell."""

    @property
    def where(self) -> str:
        """The place in words: `app.py:12`, or `cell [5], line 3`."""
        return _place(self.file, self.line, self.cell)

    def to_dict(self) -> dict[str, Any]:
        """Return the share as JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"where": self.where}


@dataclass(frozen=True, slots=True)
class CallbackShare:
    """What one handler, job or callback took of a stall: seconds, and the share of its length, 0 to 1."""

    name: str
    """`charge in app.py`: where the user's own code begins below the loop."""
    task: str | None
    """The name of its task, None if it was none or is not known."""
    seconds: float
    share: float

    def to_dict(self) -> dict[str, Any]:
        """Return the share as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Stall:
    """One iteration of the loop that was busier than the threshold, with the line that caused it.

    `started` is in seconds since the probe began, `seconds` is how long the loop was stuck.
    `file`, `line`, `function` and `code` are those of the innermost frame of the user's own code
    (of the innermost frame at all where there is none), and None if the stall ended unsampled, or
    if no line is to blame: a burst of short callbacks.
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
    automatic_garbage: float = 0.0
    """Seconds of it that such collections took that no call of `gc.collect` asked for: they look through
    what the whole process keeps, so the line at which one comes is not to blame for its length."""
    heartbeat: float = 0.0
    """How late it made a coroutine that waits for a timer, in seconds, with what was busy right before
    it: such a coroutine may wait for three iterations."""
    callback: str | None = None
    """The handler, job or callback that the loop ran, `charge in app.py`: where the user's own code
    begins below the loop. None for a burst, and where that does not show."""
    thread: str | None = None
    """The name of the thread whose call kept the GIL, empty where only that it was another is known; None
    if it was the loop's own, or either."""

    lines: tuple[Share, ...] = ()
    """The lines that its time went to, the one with the most seconds first. What was not seen is in
    none of them, so they may sum to less than its length."""
    handlers: tuple[CallbackShare, ...] = ()
    """The callbacks that the time went to, the one with the most seconds first."""
    waiting: Waiting | None = None
    """Which tasks it kept waiting, as of late in it; None where nobody looked."""

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
                return count(self.callbacks, "callback") if self.callbacks else "many callbacks"
            if self.garbage:
                return "garbage collection"
            return "unknown line" if self.thread is None else "another thread"
        return _place(self.file, self.line or 0, self.cell)

    @property
    def others(self) -> str:
        """How much of it the named line took, and how many others: empty where it took nearly all."""
        named = [one for one in self.lines if (one.file, one.line) == (self.file, self.line)]
        rest = [one for one in self.lines if one not in named] if named else []
        return others(self.seconds, [(one.where, one.seconds) for one in (*named, *rest)])

    def to_dict(self) -> dict[str, Any]:
        """Return the stall as JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        parts = {
            name: [part.to_dict() for part in values[name]]
            for name in ("stack", "lines", "handlers")
        }
        waiting = self.waiting.to_dict() if self.waiting is not None else None
        told = {"where": self.where, "others": self.others, "waited": str(self.waiting or "")}
        return values | parts | {"waiting": waiting} | told

    def __str__(self) -> str:
        code = f"  {self.code}" if self.code else ""
        if self.diagnosis and (self.burst or self.file is None):
            return self.diagnosis
        told = f" ({self.others})" if self.others else ""
        waited = f"; {self.waiting}" if self.waiting is not None and self.waiting.ready else ""
        return f"{duration(self.seconds)} at {self.where}{code}{told}{waited}"


_WHOLE = 0.9  # share of a stall from which on its other lines are not worth a word
_WORTH = 0.05  # share from which on a line counts as another one


def others(seconds: float, lines: Sequence[tuple[str, float]]) -> str:
    """Say what the first of some lines took of so many seconds, and how many others took the rest.

    `lines` are (place, seconds), the most seconds first.
    """
    if not lines or lines[0][1] >= _WHOLE * seconds:
        return ""
    rest = [took for _, took in lines[1:] if took >= _WORTH * seconds]
    if not rest:
        return ""
    mine = f"{duration(lines[0][1])} of it there"
    if len(rest) == 1:
        return f"{mine}, {duration(rest[0])} at {lines[1][0]}"
    return f"{mine}, {duration(sum(rest))} at {len(rest)} other lines, most at {lines[1][0]}"


def _place(file: str, line: int, cell: str | None) -> str:
    return f"{cell}, line {line}" if cell is not None else f"{PurePath(file).name}:{line}"


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
        return slowest(
            part
            for stall in self.stalls
            for part in (
                [(one.name, one.seconds) for one in stall.handlers]
                if stall.handlers and stall.callback is not None
                else [(stall.callback, stall.seconds)]
            )
        )

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
            count(len(self.stalls), "stall"),
        ]
        lines += [f"  {stall}" for stall in self.stalls[-10:]]
        if self.witness_error is not None:
            lines.append(
                f"a call that keeps the GIL is named only when it ends: {self.witness_error}"
            )
        return "\n".join(lines)


class Totals(NamedTuple):
    """Iterations, idle seconds, and the buckets of the longer iterations."""

    iterations: int
    idle: float
    counts: list[int]
    sums: list[float]
    exact: bool = True
    """False where idle time is made up from heartbeats."""

    def less(self, earlier: "Totals") -> "Totals":
        """Return what came since `earlier`."""
        return Totals(
            self.iterations - earlier.iterations,
            self.idle - earlier.idle,
            [now - then for now, then in zip(self.counts, earlier.counts, strict=True)],
            [now - then for now, then in zip(self.sums, earlier.sums, strict=True)],
            self.exact,
        )

    def span(self, seconds: float, age: float, worst: float) -> Span:
        """Return the span, with the unfinished iteration of `age` seconds counted in."""
        counts, sums = self.counts[:], self.sums[:]
        # The meter books longer iterations only: the rest of the busy time is the short ones'.
        short = self.iterations - sum(counts)
        rest = seconds - self.idle - sum(sums) - age
        utilization = min(1.0, max(0.0, 1 - self.idle / seconds)) if self.exact else None
        for number, busy in ((short, rest), (1, age)):
            if number > 0 and busy > 0:
                index = bucket(busy / number)
                counts[index] += number
                sums[index] += busy
        return Span(seconds, self.iterations, utilization, lag_of(counts, sums, seconds, worst))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A probe's running totals at one moment; subtract two by `later.since(earlier)`."""

    at: float
    """Seconds since the probe began."""
    iterations: int
    idle: float
    age: float
    """Seconds that the iteration in progress has lasted, 0 while the loop waits for events."""
    counts: tuple[int, ...]
    sums: tuple[float, ...]
    exact: bool = True
    """False where the loop has no selector: its utilization is unknown."""

    def since(self, earlier: "Snapshot") -> Span:
        """Return what happened between `earlier` and this one.

        The iteration in progress counts with its age. `lag.max` is exact to about 6 %; below
        0.25 ms it is an upper bound.
        """
        seconds = max(self.at - earlier.at, 1e-9)
        passed = self._totals().less(earlier._totals())  # noqa: SLF001 - its own class
        age = min(self.age, seconds)
        counts, sums = passed.counts, passed.sums
        means = (sums[i] / counts[i] for i in range(BUCKETS - 1, -1, -1) if counts[i])
        worst = max(next(means, 0.0), age)
        if not worst and passed.iterations:
            worst = min(SHORT, max(0.0, seconds - passed.idle))
        return passed.span(seconds, age, worst)

    def _totals(self) -> Totals:
        return Totals(self.iterations, self.idle, [*self.counts], [*self.sums], self.exact)
