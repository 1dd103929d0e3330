"""What was heard of a watched program: its loops, their stalls, the places these stood at."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from loopclinic.probe.report import Callback, slowest

__all__ = ["Loop", "Place", "Recording", "Series"]

_POINTS = 600
_STALLS = 5000  # kept of one loop
_PEAKS = ("tasks", "requests", "queued")
_LOOPS = 200  # kept in full; of more, only the stalls are kept


class Series:
    """The worst lag over time, in at most 1,200 points however long the program runs."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self._step = 0.0

    def add(self, at: float, lag: float) -> None:
        """Take the worst lag in the stretch that ended `at` (both in seconds)."""
        if self.points and at - self.points[-1][0] < self._step:
            last, worst = self.points[-1]
            self.points[-1] = (last, max(worst, lag))
            return
        self.points.append((at, lag))
        if len(self.points) >= 2 * _POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=False)
            self.points = [(left[0], max(left[1], right[1])) for left, right in pairs]
            self._step = 2 * (self.points[-1][0] - self.points[0][0]) / len(self.points)


@dataclass
class Loop:
    """One loop of the program. Times are in seconds, counted from the program's beginning."""

    number: int
    kind: str
    thread: str
    began: float
    unwatched: str | None = None
    """Why it has no probe, or None."""
    report: dict[str, Any] = field(default_factory=dict)
    """The last known: `seconds`, `iterations`, `utilization`, `lag`; empty if there was none."""
    stalls: list[dict[str, Any]] = field(default_factory=list)
    """In the order they ended, as `Stall.to_dict()` gives them."""
    dropped: int = 0
    """How many more there were than are kept."""
    series: Series = field(default_factory=Series)
    now: dict[str, Any] = field(default_factory=dict)
    """The last tick."""
    peaks: dict[str, int] = field(default_factory=dict)
    """The most `tasks`, `requests` in work and `queued` calls for a thread that a tick saw; no
    `requests` where nothing is known to serve them."""
    over: bool = False
    """It was closed, or the program ended in good order."""

    @property
    def callbacks(self) -> tuple[Callback, ...]:
        """The slowest handlers, jobs and callbacks: those that were seen to stall the loop."""
        return slowest((stall.get("callback"), stall["seconds"]) for stall in self.stalls)

    def tick(self, message: Mapping[str, Any]) -> None:
        """Take what is so at one moment."""
        self.now = dict(message)
        self.series.add(message["at"], message["lag"])
        for name in _PEAKS:
            if (value := message.get(name)) is not None:
                self.peaks[name] = max(value, self.peaks.get(name, 0))

    def add(self, stall: dict[str, Any]) -> None:
        """Take one more stall; of very many keep the longest."""
        if len(self.stalls) >= _STALLS:
            self.stalls.remove(min(self.stalls, key=lambda one: float(one["seconds"])))
            self.dropped += 1
        self.stalls.append(stall)

    @property
    def cost(self) -> tuple[float, float]:
        """Seconds lost to stalls, then seconds it was there: what ranks one loop above another."""
        lost = sum(stall["seconds"] for stall in self.stalls)
        return float(lost), float(self.report.get("seconds", 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "id": self.number,
            "type": self.kind,
            "thread": self.thread,
            "began": self.began,
            "unwatched": self.unwatched,
            **self.report,
            "peaks": self.peaks,
            "callbacks": [asdict(callback) for callback in self.callbacks],
            "stalls": self.stalls,
            "stalls_dropped": self.dropped,
            "series": [[round(at, 3), round(lag, 6)] for at, lag in self.series.points],
        }


@dataclass(frozen=True, slots=True)
class Place:
    """One line that stalled a loop, or one other reason, with all the stalls it is to blame for."""

    stalls: tuple[Mapping[str, Any], ...]

    @property
    def worst(self) -> Mapping[str, Any]:
        """The longest of its stalls."""
        return max(self.stalls, key=lambda stall: float(stall["seconds"]))

    @property
    def seconds(self) -> float:
        """How long it held loops up in all."""
        return float(sum(stall["seconds"] for stall in self.stalls))

    @property
    def code(self) -> str:
        """The source line, or nothing where it is not to be had."""
        return self.worst["code"] or ""

    @property
    def telling(self) -> Mapping[str, Any]:
        """The longest of those stalls that look like what most of its time looks like.

        One stall of many may have had a reason of its own: a busy machine, a collection.
        """
        shares: dict[str | None, float] = {}
        for stall in self.stalls:
            name = stall["conflict"]
            shares[name] = shares.get(name, 0.0) + float(stall["seconds"])
        chief = max(shares, key=shares.__getitem__)
        alike = [stall for stall in self.stalls if stall["conflict"] == chief]
        return max(alike, key=lambda stall: float(stall["seconds"]))

    @property
    def conflict(self) -> str | None:
        """What most of its time looks like, by name."""
        return None if (name := self.telling["conflict"]) is None else str(name)


class Recording:
    """Adds up the messages of one program."""

    def __init__(self) -> None:
        self.python = ""
        self.blind: str | None = None
        """Why nothing could be watched, or None."""
        self.heard = False
        self.ended = False
        """The program left through Python's own end, and not by a signal or `os._exit`."""
        self.more_loops = 0
        """Loops of which only the stalls are kept, since there were so many."""
        self._rest = Loop(0, "", "", 0.0)  # their stalls
        self._loops: dict[int, Loop] = {}

    @property
    def loops(self) -> list[Loop]:
        """The loops in the order they began."""
        return list(self._loops.values())

    @property
    def loops_begun(self) -> int:
        """How many loops there were in all."""
        return len(self._loops) + self.more_loops

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take one message."""
        match message["kind"]:
            case "hello":
                self.heard, self.python = True, message["python"]
            case "blind":
                self.blind = message["reason"]
            case "end":
                self.ended = True
            case "loop":
                self._loops[message["id"]] = Loop(
                    message["id"],
                    message["type"],
                    message["thread"],
                    message["at"],
                    message.get("unwatched"),
                )
            case kind:
                loop = self._loops.get(message["id"])
                if loop is not None:
                    self._of_loop(kind, loop, message)

    def _of_loop(self, kind: str, loop: Loop, message: Mapping[str, Any]) -> None:
        match kind:
            case "tick":
                loop.tick(message)
            case "held":  # the program itself can't tell of it yet
                loop.now = {**loop.now, "stall": message["stall"]}
            case "stall":
                loop.add(message["stall"])
            case "report":
                loop.report, loop.over = message["report"], message["over"]
                if loop.over:
                    loop.now = {}
                    if len(self._loops) > _LOOPS:
                        self._fold(loop)

    def _fold(self, loop: Loop) -> None:
        del self._loops[loop.number]
        self.more_loops += 1
        for stall in loop.stalls:
            self._rest.add(stall)
        self._rest.dropped += loop.dropped

    @property
    def stalls(self) -> int:
        """How many stalls there were."""
        return sum(len(loop.stalls) + loop.dropped for loop in self._all())

    @property
    def dropped(self) -> int:
        """How many of them are counted and not kept: the shortest."""
        return sum(loop.dropped for loop in self._all())

    def _all(self) -> list[Loop]:
        return [*self._loops.values(), self._rest]

    def finish(self) -> None:
        """Book what was going on when the program was cut off: a stall that never ended."""
        for loop in self._loops.values():
            if loop.over:
                continue
            if (stall := loop.now.get("stall")) is not None:
                known = loop.stalls and loop.stalls[-1]["started"] >= stall["started"] - 1e-6
                if not known:
                    loop.stalls.append({**stall, "unfinished": True})
            if loop.report:
                # The last report may be a second older than the last stall.
                lag = loop.report["lag"]
                lag["max"] = max([lag["max"], *(stall["seconds"] for stall in loop.stalls)])

    def places(self) -> list[Place]:
        """Return the lines that stalled, the one that held the loops up longest first."""
        found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for loop in self._all():
            for stall in loop.stalls:
                kind = stall.get("burst"), stall["file"] is None and stall.get("garbage", 0.0) > 0
                found.setdefault((stall["file"], stall["line"], *kind), []).append(stall)
        places = [Place(tuple(stalls)) for stalls in found.values()]
        return sorted(places, key=lambda place: -place.seconds)
