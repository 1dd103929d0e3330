"""Looks at the loops of a process, and of its children, a hundred times a second."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from loopclinic.attached.attached_loop import INTERVAL, AttachedLoop
from loopclinic.attached.foreign_calls import ForeignCalls
from loopclinic.attached.remote_loops import LoopReader
from loopclinic.attached.remote_process import RemoteProcess, began
from loopclinic.attached.rights import AttachError
from loopclinic.probe.remote_stack import GoneError
from loopclinic.probe.report import Report, Snapshot, Stall
from loopclinic.runner.socket_channel import Message
from loopclinic.runner.unwatched_children import descendants

_TICK = 0.25  # seconds between two ticks, and between two looks for children
_EARLY = ("no-python", "moment")  # what a process may be called that has only begun
_YOUNG = 2.0  # seconds from its beginning that a process may take until its loop runs
_AWAY = 1.0  # seconds without a loop on its thread after which a loop is over


class Sampler:
    """Follows the loops of one process; AttachError if it can't be read. `zero` is when times are counted from.

    With `patient`, a process that began just now is given the time to start its Python.
    """

    def __init__(
        self, pid: int, *, threshold: float, zero: float | None = None, patient: bool = True
    ) -> None:
        self.process = _opened(pid) if patient else RemoteProcess(pid)
        self.threshold = threshold
        self.loops: dict[tuple[int, int], AttachedLoop] = {}
        """By thread and address, those that run first."""
        self.running: set[tuple[int, int]] = set()
        self.reader, self._calls = LoopReader(self.process), ForeignCalls()
        self._seen: dict[tuple[int, int], float] = {}
        self.zero = zero
        self.gone = False

    def look(self) -> list[AttachedLoop]:
        """Look once at every loop, and return those that run now; none once the process has ended."""
        try:
            looks = self.reader.looks()
        except GoneError:
            self.gone, looks = True, []
        if self.zero is None:
            moments = (one.began for one in looks if one.began is not None)
            self.zero = min([time.monotonic(), *moments])
        for one in looks:
            key = one.thread.native, one.loop
            if key in self.loops:
                self.loops[key].feed(one)
            else:
                self.loops[key] = AttachedLoop(
                    self.reader, self._calls, one, threshold=self.threshold, zero=self.zero
                )
            self._seen[key] = one.at
        self.running = {(one.thread.native, one.loop) for one in looks}
        now = time.monotonic()
        for key, loop in self.loops.items():
            if key not in self.running and (self.gone or now - self._seen[key] > _AWAY):
                loop.finish()
        return [self.loops[key] for key in self.loops if key in self.running]

    def close(self) -> None:
        """Stop reading the process."""
        self.process.close()


def _opened(pid: int) -> RemoteProcess:
    """Open a process, or raise AttachError; one that began just now is given the time to start its Python."""
    while True:
        try:
            return RemoteProcess(pid)
        except AttachError as error:
            if error.kind not in _EARLY or not _young(pid):
                raise
        time.sleep(INTERVAL)


def _young(pid: int) -> bool:
    return time.monotonic() - began(pid) < _YOUNG


class Family:
    """Follows a process, and with `children` those that it starts, and tells of them by messages.

    `tell` gets messages as `Recording.handle` takes them; one names each child that can't be read. AttachError
    if the process itself can't be.
    """

    def __init__(
        self,
        pid: int,
        tell: Callable[[Message], object],
        *,
        threshold: float,
        children: bool = False,
    ) -> None:
        self.pid, self._tell, self._children = pid, tell, children
        self._threshold = threshold
        self.samplers: dict[int, Sampler] = {}
        self._known: set[int] = set()
        self._told: dict[AttachedLoop, tuple[int, int, int]] = {}  # process, number, stalls told
        self._ticked = self._searched = 0.0
        self._snapshots: dict[AttachedLoop, Snapshot] = {}
        self._add(pid)
        self.began = time.monotonic()

    @property
    def loops(self) -> list[AttachedLoop]:
        """The loops that were seen, in that order."""
        return list(self._told)

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return self.samplers[self.pid].gone

    @property
    def unsure(self) -> bool:
        """Whether a loop runs that could not be read at the last look."""
        return any(sampler.reader.unsure for sampler in self.samplers.values())

    def look(self) -> list[AttachedLoop]:
        """Look once at every loop, tell what is new, and return those that run."""
        now = time.monotonic()
        if self._children and now - self._searched >= _TICK:
            self._searched = now
            for child in descendants(self.pid):
                if child not in self._known:
                    self._try(child)
        running = []
        for number, sampler in enumerate(self.samplers.values(), start=1):
            if sampler.gone:
                continue
            for loop in sampler.look():
                running.append(loop)
                if loop not in self._told:
                    self._begin(number, loop)
            if sampler.gone:
                self._tell({"kind": "end", "process": number})
        due = now - self._ticked >= _TICK
        if due:
            self._ticked = now
        for loop in self._told:
            self._news(loop, tick=due and loop in running)
        return running

    def close(self) -> None:
        """Tell the last figures, and stop reading."""
        for loop, (process, number, _) in self._told.items():
            report = loop.report()
            self._news(loop, tick=False)
            current = loop.current()
            figures = {name: value for name, value in report.to_dict().items() if name != "stalls"}
            message = {"kind": "report", "process": process, "id": number, "report": figures}
            self._tell({**message, "over": current is None})
            if current is not None:
                tick = {"kind": "held", "process": process, "id": number}
                self._tell({**tick, "stall": current.to_dict()})
        for sampler in self.samplers.values():
            sampler.close()

    def _try(self, pid: int) -> None:
        try:
            self._add(pid)
        except AttachError as error:
            if error.kind in _EARLY and _young(pid):
                return  # and once more with the next search
            self._known.add(pid)
            # No shell or tool is worth a word; a Python that can't be read is.
            if error.kind not in (*_EARLY, "gone"):
                message = {"kind": "unwatched", "pid": pid, "command": command_of(pid)}
                self._tell({**message, "reason": str(error).rstrip(".")})

    def _add(self, pid: int) -> None:
        first = self.samplers.get(self.pid)
        sampler = Sampler(
            pid,
            threshold=self._threshold,
            zero=first.zero if first is not None else None,
            patient=first is None,
        )
        self._known.add(pid)
        self.samplers[pid] = sampler
        self._tell(
            {
                "kind": "hello",
                "process": len(self.samplers),
                "pid": pid,
                "command": command_of(pid),
                "python": sampler.process.release,
            }
        )

    def _begin(self, process: int, loop: AttachedLoop) -> None:
        number = len(self._told) + 1
        self._told[loop] = process, number, 0
        message = {"kind": "loop", "process": process, "id": number, "type": loop.kind}
        self._tell({**message, "thread": loop.thread, "at": loop.began})

    def _news(self, loop: AttachedLoop, *, tick: bool) -> None:
        process, number, told = self._told[loop]
        head = {"process": process, "id": number}
        stalls, ended = loop.stalls_since(told)
        for stall in stalls:
            self._tell({"kind": "stall", **head, "stall": stall.to_dict()})
        self._told[loop] = process, number, ended
        if not tick:
            return
        snapshot, current = loop.snapshot(), loop.current()
        since = snapshot.since(self._snapshots[loop]) if loop in self._snapshots else None
        self._snapshots[loop] = snapshot
        lag = since.lag.max if since is not None else 0.0
        self._tell(
            {
                "kind": "tick",
                **head,
                "at": snapshot.at,
                "lag": max(lag, current.seconds if current is not None else 0.0),
                "utilization": since.utilization if since is not None else None,
                "tasks": loop.census().tasks,
                "stall": current.to_dict() if current is not None else None,
            }
        )


def command_of(pid: int) -> list[str]:
    """Return the command line of a process."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [one.decode(errors="replace") for one in text.rstrip(b"\0").split(b"\0")]


class ProcessProbe:
    """A probe on the loop of another process, for a scope: has the methods of `Probe` that it calls.

    It follows the loop of the main thread, else the first one; AttachError if there is none to read.
    """

    loop: Any = None
    """Of the process's loop nothing is here; once the process has ended, one that is closed."""
    witness_url: str | None = None
    witness_error: str | None = None

    def __init__(self, pid: int, *, threshold: float = 0.05) -> None:
        self.threshold, self.running = threshold, False
        self._sampler = Sampler(pid, threshold=threshold)
        found = self._sampler.look()
        while not found and not self._sampler.gone and _young(pid):
            time.sleep(INTERVAL)
            found = self._sampler.look()
        if not found:
            self._sampler.close()
            release = self._sampler.process.release
            why = f"no event loop runs in process {pid} (Python {release})."
            raise AttachError("no-loop", why)
        self._loop = loop = next((one for one in found if one.thread == "MainThread"), found[0])
        self.current, self.snapshot = loop.current, loop.snapshot
        self.report, self.census = loop.report, loop.census
        self._calls: list[tuple[Callable[[], object], float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="loopclinic-attach", daemon=True)

    def start(self) -> Self:
        """Begin to look."""
        self.running = True
        self._thread.start()
        return self

    def stop(self) -> Report:
        """Stop looking, and return the report."""
        self.running = False
        self._over.set()
        if threading.current_thread() is not self._thread and self._thread.is_alive():
            self._thread.join()
        return self.report()

    def subscribe(self, callback: Callable[[], object], every: float = 0.1) -> Callable[[], None]:
        """Call `callback` about every so many seconds, on a thread of its own, until the result is called."""
        entry = callback, every
        self._calls.append(entry)
        return lambda: self._calls.remove(entry) if entry in self._calls else None

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """The stalls that are over."""
        return self._loop.stalls

    @property
    def iterations(self) -> int:
        """How many iterations were seen."""
        return self._loop.iterations

    def _work(self) -> None:
        due: dict[tuple[Callable[[], object], float], float] = {}
        while not self._over.wait(INTERVAL):
            self._sampler.look()
            now, gone = time.monotonic(), self._sampler.gone
            if gone:
                self.loop = SimpleNamespace(is_closed=lambda: True)
            for one in [*self._calls]:
                if gone or now >= due.get(one, 0.0):
                    due[one] = now + one[1]
                    one[0]()
            if gone:
                break
        self.running = False
        self._sampler.close()
