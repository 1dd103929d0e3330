"""Records the last minute of a probe as JSON values, for every view of a scope."""

import os
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from loopclinic.conflicts import TREATMENTS
from loopclinic.paths import KitNotFoundError, kit_root
from loopclinic.probe import Frame, Probe, Share, Snapshot, Stall, user_code
from loopclinic.probe.stack import PACKAGE, cell_label

if TYPE_CHECKING:
    from loopclinic.attached.sampler import ProcessProbe

WINDOW = 60.0
"""Seconds that a scope looks back."""
_TICKS = 900
_STALLS = 50
_LINES = 8  # of one stall
_FRAMES = 12  # of a stack: more is scrolled past
_SLOW = 0.5  # seconds between two looks back over the minute
_BIRTH = 0.5  # seconds: what making a scope may cost before it is worth a line in its list
_TELLING = 0.5  # seconds: of less, a busy share says nothing
_CROWDED = 0.9  # busy share of a second, without a stall, that is called too much work

_STORY = re.compile(r"[\\/](lessons[\\/](core|story)[\\/]|(story|posts)\.py$)")
"""Modules of lessons that measure, or stand for a service; the others are what a lesson is about."""
_RUNS = "_run", "events.py"  # asyncio's, which calls a callback


class Recorder:
    """Reads a running probe at each `tick()` and keeps what a view needs that comes later.

    Memory is bounded: 900 ticks, 50 stalls. Any thread may call: ticks come from the probe's, the
    history is asked for by pages and pictures.
    """

    def __init__(self, probe: "Probe | ProcessProbe") -> None:
        self._lock = Lock()
        self.probe = probe
        self.stopped = False
        self.now: dict[str, Any] | None = None
        self.ticks: deque[tuple[float, float | None]] = deque(maxlen=_TICKS)
        self.stalls: deque[dict[str, Any]] = deque(maxlen=_STALLS)
        self._last = probe.snapshot()
        self._seen = -1.0  # when the newest stall in `stalls` began
        self._born = self._last.at
        self._settled = False  # the iteration that made the scope is over
        self._past: deque[Snapshot] = deque([self._last])  # one a second
        self._slow: dict[str, Any] = {}
        self._due = 0.0  # when the figures in `_slow` are due again

    def tick(self) -> dict[str, Any]:
        """Return what happened since the last tick.

        Times are in seconds; `at` and `started` count from the probe's beginning. `strip` is the
        tick's lag, None where a stall stands in its place.
        """
        with self._lock:
            return self._tick()

    def _tick(self) -> dict[str, Any]:
        probe = self.probe
        # In this order: a stall that ends meanwhile is shown once too often, never as ordinary lag.
        current, snapshot, census = probe.current(), probe.snapshot(), probe.census()
        ended = self._fresh(probe.stalls)
        if not self._settled:
            if current is not None and self._is_birth(current):
                current = None
            if current is not None or ended:
                self._settled = True
            else:
                # Measured from here on: how long the scope took to appear is not the reader's lag.
                self._settled = snapshot.iterations > self._last.iterations
                self._last = snapshot
                self._past = deque([snapshot])
        span = snapshot.since(self._last)
        if snapshot.at - self._past[-1].at >= 1:
            self._past.append(snapshot)
        while len(self._past) > 1 and snapshot.at - self._past[1].at > WINDOW:
            self._past.popleft()
        lag = current.seconds if current is not None else span.lag.max
        stuck_from = current.started if current is not None else snapshot.at
        covered = stuck_from < snapshot.at or any(
            stall.started + stall.seconds > self._last.at for stall in ended
        )
        if ended:
            self._seen = ended[-1].started
        fresh = [_stall(stall) for stall in ended]
        self.stalls.extend(fresh)
        strip = None if covered else span.lag.max
        self.ticks.append((round(snapshot.at, 3), strip))
        self._last = snapshot
        if ended or snapshot.at >= self._due:
            self._slow = self._figures(snapshot, current)
            self._due = snapshot.at + _SLOW
        self.now = {
            "kind": "tick",
            "at": snapshot.at,
            "lag": lag,
            **self._slow,
            "worst": max(lag, self._slow["worst"]),
            "tasks": census.tasks,
            "requests": census.requests,
            "threads": census.executor_busy,
            "workers": census.executor_workers,
            "waiting": census.executor_queued,
            "stall": _stall(current) if current is not None else None,
            "ended": fresh,
            "strip": strip,
            "witness": probe.witness_url,
        }
        return self.now

    def finish(self) -> dict[str, Any] | None:
        """Return a last tick once the probe has stopped, with a stall that lasted until then; None if there is none."""
        with self._lock:
            fresh = [_stall(stall) for stall in self._fresh(self.probe.report().stalls)]
            if self.now is None or not (fresh or self.now["stall"]):
                return None
            self.stalls.extend(fresh)
            worst = max([self.now["worst"], *(one["seconds"] for one in fresh)])
            self.now = {**self.now, "stall": None, "ended": fresh, "worst": worst}
            return self.now

    def _fresh(self, stalls: Iterable[Stall]) -> list[Stall]:
        return [one for one in stalls if one.started > self._seen and not self._is_birth(one)]

    def _figures(self, snapshot: Snapshot, current: Stall | None) -> dict[str, Any]:
        """Return what looks back further than one tick; it costs as much as ten of them."""
        since = snapshot.at - WINDOW
        stalls = (one["seconds"] for one in self.stalls if one["started"] + one["seconds"] > since)
        ordinary = (lag for at, lag in self.ticks if lag is not None and at > since)
        five = snapshot.since(self._back(5.0))
        return {
            "p99": snapshot.since(self._past[0]).lag.p99,
            "worst": max((*stalls, *ordinary), default=0.0),
            "utilization": five.utilization if five.seconds >= _TELLING else None,
            "crowded": self._crowded(snapshot, current),
        }

    def history(self) -> dict[str, Any]:
        """Return all that a view needs which was not there before."""
        notebooks = _notebooks()
        with self._lock:
            return self._history(notebooks)

    def _history(self, notebooks: dict[str, str | None] | None) -> dict[str, Any]:
        return {
            "now": {**self.now, "ended": []} if self.now is not None else None,
            "ticks": [list(tick) for tick in self.ticks],
            "stalls": list(self.stalls),
            "stopped": self.stopped,
            "settings": {
                "threshold": self.probe.threshold,
                "lessons": {name: list(treated) for name, treated in TREATMENTS.items()},
                "notebooks": notebooks,
                # As JupyterLab tells a kernel whose notebook it runs: no link to the lesson one is in.
                "lesson": Path(os.environ.get("JPY_SESSION_NAME", "")).stem or None,
            },
        }

    def _is_birth(self, stall: Stall) -> bool:
        """Return whether this is the iteration that made the scope, with nothing else of note in it."""
        return stall.started <= self._born <= stall.started + stall.seconds and (
            stall.synchronous_cell or stall.seconds < _BIRTH
        )

    def _back(self, seconds: float) -> Snapshot:
        """Return the latest snapshot that is at least so many seconds old, else the oldest."""
        wanted = self._last.at - seconds
        return next((past for past in reversed(self._past) if past.at <= wanted), self._past[0])

    def _crowded(self, snapshot: Snapshot, current: Stall | None) -> float | None:
        """Return the busy share of the last second where many short callbacks make it up."""
        second = snapshot.since(self._back(1.0))
        if current is not None or second.seconds < _TELLING:
            return None
        if second.utilization is None or second.utilization < _CROWDED:
            return None
        if self.stalls:
            last = self.stalls[-1]
            if last["started"] + last["seconds"] > snapshot.at - second.seconds:
                return None
        return second.utilization


def _stall(stall: Stall) -> dict[str, Any]:
    inner = next((i for i, frame in enumerate(stall.stack) if user_code(frame.file)), 0)
    cells = ((one, cell) for one in reversed(stall.stack) if (cell := cell_label(one.file)))
    if stall.synchronous_cell and (found := next(cells, None)):  # not the kit's line that it calls
        at, cell = found
        stall = replace(stall, file=at.file, line=at.line, code=at.code, cell=cell)
    return {
        "id": round(stall.started * 1e6),
        "started": stall.started,
        "seconds": stall.seconds,
        "where": stall.where,
        "line": stall.line,
        "code": stall.code or "",
        "function": stall.function,
        "conflict": stall.conflict,
        "gil": stall.gil_held,
        "diagnosis": stall.diagnosis,
        "task": stall.task,
        "burst": stall.burst,
        "kit": _is_kits(stall),
        "garbage": stall.garbage > stall.seconds / 2,
        **_source(stall),
        "cell": stall.synchronous_cell,
        "stack": [_frame(frame) for frame in stall.stack[inner:][-_FRAMES:]],
        "others": stall.others,
        "lines": [_share(one) for one in stall.lines[:_LINES]] if stall.others else [],
        "handlers": [one.to_dict() for one in stall.handlers[:_LINES] if stall.handlers[1:]],
        "waited": str(stall.waiting or ""),
        "waiters": [one.to_dict() for one in stall.waiting.groups] if stall.waiting else [],
    }


def _is_kits(stall: Stall) -> bool:
    """Return whether a stall is the kit's own work, such as its load, and no reader's or lesson's code."""
    runs = [i for i, one in enumerate(stall.stack) if (one.function, one.file[-9:]) == _RUNS]
    called = [one.file for one in stall.stack[runs[-1] + 1 if runs else 0 :]]
    theirs = [one for one in called if user_code(one) and not _of_kit(one)]
    return _of_kit(stall.file or "") or (not theirs and any(map(_of_kit, called)))


def _of_kit(file: str) -> bool:
    lesson = user_code(file) and not _STORY.search(file)
    return file.startswith(PACKAGE) and not lesson


def _share(share: Share) -> dict[str, Any]:
    parts = ("where", "code", "function", "seconds", "share")
    return {name: getattr(share, name) for name in parts}


def _source(stall: Stall) -> dict[str, str | None]:
    """Return where a page can find the line: a cell by its prompt, a file in both ways it may be written."""
    if stall.cell is not None:
        return {"prompt": stall.cell.removeprefix("cell "), "file": None, "fileFromHome": None}
    path = Path(stall.file) if stall.file else None
    if path is None or not path.is_absolute():
        return {"prompt": None, "file": None, "fileFromHome": None}
    return {"prompt": None, "file": path.as_posix(), "fileFromHome": _from_home(path)}


def _from_home(path: Path) -> str | None:
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else None


def _frame(frame: Frame) -> dict[str, str]:
    cell = cell_label(frame.file)
    where = f"{cell}, line {frame.line}" if cell else f"{Path(frame.file).name}:{frame.line}"
    return {"where": where, "function": frame.function, "code": frame.code}


def _notebooks() -> dict[str, str | None] | None:
    """Return where the lessons' notebooks lie, in the two ways JupyterLab may write its root."""
    try:
        folder = kit_root() / "notebooks"
    except KitNotFoundError:
        return None
    return {"absolute": folder.as_posix(), "fromHome": _from_home(folder)}
