"""Record of a watched program: its processes, their loops, the stalls and their places."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from loopclinic.probe.report import Callback, slowest

_POINTS = 600
_STALLS = 5000  # kept of one loop
_PEAKS = ("tasks", "requests", "queued")
_QUEUES = ("queued", "pooled")
_LOOPS = 200  # kept in full; of more, only the stalls are kept
_WORDS = 60  # characters of a command line that are shown


class Series:
    """The worst lag over time, in at most 1,200 points however long the program runs."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self._step = 0.0

    def add(self, at: float, lag: float) -> None:
        """Record the worst lag in the stretch that ended `at` (both in seconds)."""
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
class Queue:
    """A queue in which calls wait: how long it was never seen empty, and how long it was then."""

    seconds: float = 0.0
    most: int = 0
    _since: float | None = None

    def add(self, at: float, length: int) -> None:
        """Add its length at one moment, in seconds."""
        if not length:
            self._since = None
            return
        if self._since is None:
            self._since = at
        self.seconds = max(self.seconds, at - self._since)
        self.most = max(self.most, length)


@dataclass
class Process:
    """One process of the program: itself, or one that it started."""

    pid: int
    command: tuple[str, ...] = ()
    python: str = ""
    blind: str | None = None
    """Why it could not be watched, or None."""
    ended: bool = False
    """It left through Python's own end, and not by a signal or `os._exit`."""

    def __str__(self) -> str:
        words = " ".join([Path(one).name for one in self.command[:1]] + list(self.command[1:]))
        return f"process {self.pid} ({words if len(words) <= _WORDS else words[:_WORDS] + '...'})"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "command": list(self.command)}


@dataclass
class Loop:
    """One loop of the program. Times are in seconds, counted from the program's beginning."""

    number: int
    kind: str
    thread: str
    began: float
    process: Process | None = None
    """The process that runs it, None for the program's own."""
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
    queues: dict[str, Queue] = field(default_factory=dict)
    """What callers waited in: `queued` for a thread of the default executor, `pooled` for a connection."""
    timeline: dict[str, Any] = field(default_factory=dict)
    """Its tasks in the Chrome trace event format, empty where they were not recorded."""
    over: bool = False
    """It was closed, or the program ended in good order."""

    @property
    def callbacks(self) -> tuple[Callback, ...]:
        """The slowest handlers, jobs and callbacks: those that were seen to stall the loop."""
        return slowest(part for stall in self.stalls for part in _callbacks(stall))

    def tick(self, message: Mapping[str, Any]) -> None:
        """Record the figures of one moment."""
        self.now = dict(message)
        self.series.add(message["at"], message["lag"])
        for name in _PEAKS:
            if (value := message.get(name)) is not None:
                self.peaks[name] = max(value, self.peaks.get(name, 0))
        for name in _QUEUES:
            if (length := message.get(name)) is not None:
                self.queues.setdefault(name, Queue()).add(message["at"], length)

    def add(self, stall: dict[str, Any]) -> None:
        """Record a stall; of very many keep the longest."""
        if len(self.stalls) >= _STALLS:
            self.stalls.remove(min(self.stalls, key=lambda one: float(one["seconds"])))
            self.dropped += 1
        self.stalls.append(stall)

    def amend(self, stall: dict[str, Any]) -> None:
        """Replace a stall by what is known of it now."""
        for index in reversed(range(len(self.stalls))):
            if self.stalls[index]["started"] == stall["started"]:
                self.stalls[index] = stall
                return

    @property
    def cost(self) -> tuple[float, float]:
        """Seconds lost to stalls, then seconds it was there: what ranks one loop above another."""
        lost = sum(stall["seconds"] for stall in self.stalls)
        return float(lost), float(self.report.get("seconds", 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "id": self.number,
            "process": self.process.pid if self.process is not None else None,
            "type": self.kind,
            "thread": self.thread,
            "began": self.began,
            "unwatched": self.unwatched,
            **self.report,
            "peaks": self.peaks,
            "queues": {it: {"seconds": q.seconds, "most": q.most} for it, q in self.queues.items()},
            "callbacks": [asdict(callback) for callback in self.callbacks],
            "stalls": self.stalls,
            "stalls_dropped": self.dropped,
            "series": [[round(at, 3), round(lag, 6)] for at, lag in self.series.points],
        }


def _callbacks(stall: Mapping[str, Any]) -> list[tuple[str | None, float]]:
    """Return what each callback took of a stall; of one where that is not known, the one that is named."""
    if not stall.get("handlers") or stall.get("callback") is None:
        return [(stall.get("callback"), stall["seconds"])]
    return [(part["name"], part["seconds"]) for part in stall["handlers"]]


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
    def lines(self) -> list[dict[str, Any]]:
        """What each line took of these stalls, its own line first, then the one with the most seconds."""
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for stall in self.stalls:
            for share in stall.get("lines", ()):
                key = share["file"], share["line"]
                seconds = found.get(key, {"seconds": 0.0})["seconds"] + share["seconds"]
                found[key] = {**share, "seconds": seconds, "share": seconds / self.seconds}
        mine = self.worst["file"], self.worst["line"]
        ranked = sorted(found.items(), key=lambda one: (one[0] != mine, -one[1]["seconds"]))
        return [share for _, share in ranked] if mine in found else []

    @property
    def own(self) -> float:
        """How many of its seconds went to its own line, as far as is known."""
        lines = self.lines
        return float(lines[0]["seconds"]) if lines else self.seconds

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

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        worst = self.worst
        return {
            **{name: worst[name] for name in ("file", "line")},
            **{name: getattr(self, name) for name in ("code", "conflict", "seconds")},
            "stalls": len(self.stalls),
            "worst": worst["seconds"],
        }


class Recording:
    """Adds up the messages of one program."""

    def __init__(self) -> None:
        self.processes: dict[int, Process] = {}
        """By number of their connection, the program's own first."""
        self.unwatched: list[str] = []
        """What was not watched of the program, and why, a sentence each."""
        self.more_loops = 0
        """Loops of which only the stalls are kept, since there were so many."""
        self._rest = Loop(0, "", "", 0.0)  # their stalls
        self._loops: dict[tuple[int, int], Loop] = {}
        self._begun = 0

    @property
    def main(self) -> Process | None:
        """The program's own process, None if nothing was heard of it."""
        return next(iter(self.processes.values()), None)

    @property
    def loops(self) -> list[Loop]:
        """The loops in the order they began."""
        return list(self._loops.values())

    @property
    def loops_begun(self) -> int:
        """How many loops there were in all."""
        return len(self._loops) + self.more_loops

    def handle(self, message: Mapping[str, Any]) -> None:
        """Handle one message."""
        number = message.get("process", 0)
        process = self.processes.get(number)
        match message["kind"]:
            case "hello":
                command = tuple(message["command"])
                self.processes[number] = Process(message["pid"], command, message["python"])
            case "blind" if process is not None:
                process.blind = message["reason"]
                if process is not self.main:
                    self.unwatched.append(f"{process}: {process.blind}")
            case "end" if process is not None:
                process.ended = True
            case "unwatched":
                process = Process(message["pid"], tuple(message["command"]))
                self.unwatched.append(f"{process}: {message['reason']}")
            case "loop":
                self._begun += 1
                self._loops[number, message["id"]] = Loop(
                    self._begun,
                    message["type"],
                    message["thread"],
                    message["at"],
                    process if process is not self.main else None,
                    message.get("unwatched"),
                )
            case kind:
                loop = self._loops.get((number, message.get("id", 0)))
                if loop is not None:
                    self._of_loop(kind, loop, message)
                elif kind == "stall":  # of a loop that is not kept in full any more
                    self._rest.add(message["stall"])
                elif kind == "amended":
                    self._rest.amend(message["stall"])

    def _of_loop(self, kind: str, loop: Loop, message: Mapping[str, Any]) -> None:
        match kind:
            case "tick":
                loop.tick(message)
            case "held":  # the program itself can't tell of it yet
                loop.now = {**loop.now, "stall": message["stall"]}
            case "timeline":
                loop.timeline = message["timeline"]
            case "stall":
                loop.add(message["stall"])
            case "amended":
                loop.amend(message["stall"])
            case "report":
                loop.report, loop.over = message["report"], message["over"]
                if loop.over:
                    loop.now = {}
                    if len(self._loops) > _LOOPS:
                        self._fold()

    def _fold(self) -> None:
        """Keep only the stalls of the loop that cost least, of those that are over."""
        over = {key: loop for key, loop in self._loops.items() if loop.over}
        key = min(over, key=lambda one: over[one].cost)
        loop = self._loops.pop(key)
        self.more_loops += 1
        for stall in loop.stalls:
            self._rest.add(stall)
        self._rest.dropped += loop.dropped

    def timeline(self) -> dict[str, Any]:
        """Return the tasks of every loop in the Chrome trace event format."""
        traces = [(loop.number, loop.timeline) for loop in self.loops if loop.timeline]
        events = [{**one, "pid": pid} for pid, trace in traces for one in trace["traceEvents"]]
        notes = [note for _, trace in traces for note in trace["otherData"]["notes"]]
        return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"notes": notes}}

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
        """Record the stall that was in progress when the program was cut off."""
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
