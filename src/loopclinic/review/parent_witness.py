"""The process that runs a program as its witness: both of its ends, and the memory and pipe in between.

The program leaves the time in shared memory whenever it could have the GIL, in one slot for each of
its loops. The parent reads its child's stack while that time grows old, and sends what it saw through
the pipe. Linux.
"""

import json
import mmap
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from loopclinic.probe import Stall, layout
from loopclinic.probe.audience import Line
from loopclinic.probe.case import Case, Kept
from loopclinic.probe.diagnosis import findings
from loopclinic.probe.memory import GoneError, Memory
from loopclinic.probe.sidecar import BEAT, Beat, Seen, Watch, reader_of
from loopclinic.probe.stack import of_frames
from loopclinic.probe.witness import seen_of
from loopclinic.review.channel import identity

__all__ = ["ParentWitness", "Slots"]

_SLOTS = 8  # loops at once; more go without a witness
_INTERVAL = (0.01, 0.02)  # seconds between beats: at least, at most
Tell = Callable[[dict[str, Any]], object]


class ParentWitness:
    """The parent's end: reads the program on a thread of its own from `begin` until `close`.

    `tell` is called on that thread with a message of the kind `held` for each call that keeps the GIL
    longer than `threshold` seconds, while it lasts.

    Raises:
        OSError: this machine has no shared memory, or no more descriptors.
    """

    def __init__(self, threshold: float, tell: Callable[[Mapping[str, Any]], object]) -> None:
        self._tell, self._threshold = tell, threshold
        low, high = _INTERVAL
        self.interval = min(max(threshold / 4, low), high)
        self._beats = os.memfd_create("loopclinic-beats")
        os.ftruncate(self._beats, mmap.PAGESIZE)
        self._shared = mmap.mmap(self._beats, mmap.PAGESIZE)
        self._reading, self._writing = os.pipe()
        self._line = Line(self._writing)
        self._loops: dict[
            int, tuple[int, float]
        ] = {}  # by slot: the loop's number, the program's birth
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def means(self) -> dict[str, Any]:
        """Return what the program's `Slots` are made of; it must inherit `beats` and `reports`."""
        return {"beats": self._beats, "reports": self._reading, "interval": self.interval}

    def started(self) -> None:
        """Close what only the program needs, once it has it."""
        os.close(self._beats)
        os.close(self._reading)

    def hear(self, message: Mapping[str, Any]) -> None:
        """Begin to read the program at its first loop's wish; note which loop has which slot."""
        self._loops[message["slot"]] = message["id"], message["born"]
        if self._thread is not None:
            return
        pid, known = message["pid"], message["known"]
        try:
            # loopclinic: ignore[blocking-file-io] memory, not a disk
            memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
            try:
                reader = reader_of(pid, Memory(memory), known)
            except BaseException:
                os.close(memory)
                raise
        except (OSError, RuntimeError) as error:
            self._send({"refused": f"the kernel does not let the parent read its child: {error}"})
            return
        except GoneError:
            return
        watches = [Watch(pid, reader, self.interval) for _ in range(_SLOTS)]
        self._thread = threading.Thread(
            target=self._look, args=(watches, memory), name="loopclinic-witness", daemon=True
        )
        self._thread.start()
        self._send({"ready": True})

    def close(self) -> None:
        """Stop reading."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        os.close(self._writing)
        self._shared.close()

    def _look(self, watches: list[Watch], memory: int) -> None:
        pause = self.interval
        try:
            while not self._over.wait(pause):
                for slot, watch in enumerate(watches):
                    seen = watch.look(self._shared, slot * BEAT.size)
                    if seen is not None:
                        self._send({"slot": slot, **seen._asdict()})
                        self._show(slot, seen)
                pause = min(watch.pause for watch in watches)
        except GoneError:
            pass
        finally:
            os.close(memory)

    def _send(self, values: dict[str, Any]) -> None:
        self._line.send(json.dumps(values).encode() + b"\n")

    def _show(self, slot: int, seen: Seen) -> None:
        number, born = self._loops.get(slot, (0, 0.0))
        began = seen.at - seen.silent
        if not number or seen.silent < self._threshold:
            return
        case, sample = Case(began), of_frames(seen.frames)
        if seen.thread:
            case.gil_held = True
            case.keep(Kept(sample, "", began, seen.at))
        else:
            case.gil_likely = True
            case.add(sample, seen.at)
        found = findings(case, began, seen.at, self._threshold)
        stall = Stall(began - born, seen.silent, **found)
        self._tell({"kind": "held", "id": number, "stall": stall.to_dict()})


class Slots:
    """The program's end: gives each of its loops a slot, and hands out what the parent saw.

    `tell` sends a message to the parent. A process that the program forks has no witness.
    """

    def __init__(self, beats: int, reports: int, interval: float, tell: Tell) -> None:
        self._shared = mmap.mmap(beats, mmap.PAGESIZE)
        os.close(beats)
        os.set_inheritable(reports, False)
        os.set_blocking(reports, False)
        self._reports, self._pipe = reports, identity(reports)
        self._interval, self._tell = interval, tell
        self._lock = threading.Lock()
        self._rest = b""
        self._free = list(range(_SLOTS))
        self._seen: dict[int, deque[Seen]] = {slot: deque(maxlen=64) for slot in self._free}
        self._known: str | None = None
        self.refused: str | None = None
        """Why the parent can't read this program."""
        self.ready = False
        """Whether the parent has read it once."""

    def join(self, number: int, born: float) -> "Slot":
        """Return the witness of one more loop; `born` is when the program began.

        Raises:
            OSError, RuntimeError: there can be none; the message says why.
        """
        with self._lock:
            if self.refused is not None:
                raise RuntimeError(self.refused)
            if not self._free:
                raise RuntimeError(f"{_SLOTS} loops have one, and no more can")
            if self._known is None:
                with layout.own_memory() as memory:
                    self._known = layout.described(memory)
            slot = self._free.pop(0)
        wish = {"slot": slot, "id": number, "born": born, "pid": os.getpid(), "known": self._known}
        self._tell({"kind": "witness", **wish})
        return Slot(self, slot, self._interval)

    def beat(self, slot: int, beat: Beat) -> None:
        """Say that the GIL was to be had."""
        BEAT.pack_into(self._shared, slot * BEAT.size, *beat)

    def collect(self, slot: int) -> list[Seen]:
        """Return what was seen of one loop since the last call."""
        with self._lock:
            self._read()
            seen = list(self._seen[slot])
            self._seen[slot].clear()
        return seen

    def leave(self, slot: int) -> None:
        """Give a slot back."""
        self.beat(slot, Beat(0.0, 0, 0))
        with self._lock:
            self._seen[slot].clear()
            self._free.append(slot)

    def _read(self) -> None:
        # A program that closes every descriptor may have given this number to a file of its own.
        if identity(self._reports) != self._pipe:
            self.refused = "the program has closed the pipe to its parent"
            return
        try:
            # loopclinic: ignore[blocking-file-io] this pipe is set not to block
            text = self._rest + os.read(self._reports, 1 << 20)
        except OSError:
            return
        *lines, self._rest = text.split(b"\n")
        for line in lines:
            values: dict[str, Any] = json.loads(line)
            if "slot" in values:
                self._seen[values.pop("slot")].append(seen_of(values))
            else:
                self.ready = self.ready or "ready" in values
                self.refused = values.get("refused")


class Slot:
    """One loop's share of the parent's attention (a `GilWitness`)."""

    url: str | None = None
    """The parent shows what it sees by itself."""

    def __init__(self, slots: Slots, number: int, interval: float) -> None:
        self._slots, self._number = slots, number
        self.interval = interval

    @property
    def refused(self) -> str | None:
        """Why nothing can be read, once that is known."""
        return self._slots.refused

    @property
    def ready(self) -> bool:
        """Whether the parent is at work."""
        return self._slots.ready

    def beat(self, beat: Beat) -> None:
        """Say that the GIL was to be had."""
        self._slots.beat(self._number, beat)

    def collect(self) -> list[Seen]:
        """Return what was seen since the last call."""
        return self._slots.collect(self._number)

    def close(self) -> None:
        """Give the slot back; once."""
        self._slots.leave(self._number)
