"""Makes `loopclinic run` the witness of the processes it watches: both ends, memory and pipe (Linux).

A watched process leaves the time in shared memory whenever it could have the GIL, in one slot for each
of its loops. The watcher reads the process's stack while that time grows old, and sends what it saw
through the pipe. The process makes both, and sends their descriptors with its first loop.
"""

import json
import mmap
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from loopclinic.probe import Stall, layout
from loopclinic.probe.diagnosis import findings
from loopclinic.probe.remote_stack import GoneError, Memory
from loopclinic.probe.sidecar import BEAT, Beat, PipeWriter, Seen, Watch, reader_of
from loopclinic.probe.stack import of_frames
from loopclinic.probe.stall_samples import GilHold, StallSamples
from loopclinic.probe.witness import seen_of
from loopclinic.runner.socket_channel import Message, identity

_SLOTS = 8  # loops at once; more go without a witness
_INTERVAL = (0.01, 0.02)  # seconds between beats: at least, at most
_CALM = 1.0  # intervals between two looks at beats that come
_ASLEEP = 0.1  # seconds between two looks where no loop is to be watched
Tell = Callable[[dict[str, Any], list[int]], object]
"""Sends a message to the watcher, and descriptors with it."""


def interval(threshold: float) -> float:
    """Return the seconds between two beats, for stalls from `threshold` seconds on."""
    low, high = _INTERVAL
    return min(max(0.4 * threshold, low), high)


class ParentWitness:
    """The watcher's end: reads one process on a thread of its own from its first loop until `close`.

    `tell` is called on that thread with a message of the kind `held` for each call that keeps the GIL
    longer than `threshold` seconds, while it lasts. `beats` and `reports` are the descriptors that the
    process sent; OSError or ValueError if they are none.
    """

    def __init__(
        self, threshold: float, tell: Callable[[Message], object], beats: int, reports: int
    ) -> None:
        self._tell, self._threshold = tell, threshold
        self._interval = interval(threshold)
        self._writing = reports
        self._shared = mmap.mmap(beats, mmap.PAGESIZE)
        os.close(beats)
        self._line = PipeWriter(self._writing)
        self._loops: dict[int, tuple[int, float]] = {}
        """By slot: the loop's number, the program's birth."""
        self._thread: threading.Thread | None = None
        self._over = threading.Lock()  # held until it shall stop: waited for with little ado
        # loopclinic: ignore[blocking-sync-primitive] nobody else has it yet
        self._over.acquire()

    def record(self, message: Message) -> None:
        """Start reading the program when its first loop asks for it; record which loop has which slot."""
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
        watches = [Watch(pid, reader, self._interval, _CALM) for _ in range(_SLOTS)]
        self._thread = threading.Thread(
            target=self._look, args=(watches, memory), name="loopclinic-witness", daemon=True
        )
        self._thread.start()
        self._send({"ready": True})

    def close(self) -> None:
        """Stop reading."""
        self._over.release()
        if self._thread is not None:
            self._thread.join()
        os.close(self._writing)
        self._shared.close()

    def _look(self, watches: list[Watch], memory: int) -> None:
        pause = self._interval
        try:
            while not self._over.acquire(timeout=pause):
                for slot in [*self._loops]:
                    watch = watches[slot]
                    seen = watch.look(self._shared, slot * BEAT.size)
                    if seen is not None:
                        self._send({"slot": slot, **seen._asdict()})
                        self._show(slot, seen)
                # Those that beat are to be watched.
                beats = {
                    it: BEAT.unpack_from(self._shared, it * BEAT.size) for it in [*self._loops]
                }
                awake = (watches[slot].pause for slot, beat in beats.items() if Beat(*beat).at)
                pause = min(awake, default=_ASLEEP)
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
        case, sample = StallSamples(began), of_frames(seen.frames)
        if seen.thread:
            case.gil_held = True
            case.add_hold(GilHold(sample, "", began, seen.at))
        else:
            case.gil_likely = True
            case.add(sample, seen.at, held=seen.silent, exact=True)
        found = findings(case, began, seen.at, self._threshold)
        stall = Stall(began - born, seen.silent, **found)
        self._tell({"kind": "held", "id": number, "stall": stall.to_dict()})


class Slots:
    """A watched process's end: gives each of its loops a slot, and hands out what the watcher saw.

    A forked process makes its own. OSError if this machine has no shared memory, or no more descriptors.
    """

    def __init__(self, threshold: float, tell: Tell, known: str | None = None) -> None:
        beats = os.memfd_create("loopclinic-beats")
        os.ftruncate(beats, mmap.PAGESIZE)
        self.shared = mmap.mmap(beats, mmap.PAGESIZE)
        self._reports, writing = os.pipe()
        self._unsent = [beats, writing]
        os.set_blocking(self._reports, False)
        self._pipe = identity(self._reports)
        self.interval, self._tell = interval(threshold), tell
        self._lock = threading.Lock()
        self._rest = b""
        self._free = list(range(_SLOTS))
        self._seen: dict[int, deque[Seen]] = {slot: deque(maxlen=64) for slot in self._free}
        self.known = known
        """What describes this interpreter, once it was asked for: a forked one is the same."""
        self.refused: str | None = None
        """Why the parent can't read this program."""
        self._describe()
        self.ready = False
        """Whether the parent has read it once."""

    def join(self, number: int, born: float) -> "Slot":
        """Return the witness of one more loop, or raise OSError or RuntimeError with the reason why there is none.

        `born` is when the program began.
        """
        with self._lock:
            if self.refused is not None:
                raise RuntimeError(self.refused)
            if not self._free:
                raise RuntimeError(f"{_SLOTS} loops have one, and no more can")
            slot = self._free.pop(0)
            wish = {"slot": slot, "id": number, "born": born, "pid": os.getpid()}
            self._tell({"kind": "witness", "known": self.known, **wish}, self._unsent)
            while self._unsent:
                os.close(self._unsent.pop())
        return Slot(self, slot)

    def _describe(self) -> None:
        """Look at this interpreter before any loop runs: it takes milliseconds."""
        if self.known is None:
            try:
                with layout.own_memory() as memory:
                    self.known = layout.described(memory)
            except (OSError, RuntimeError) as error:
                self.refused = str(error)

    def collect(self, slot: int) -> list[Seen]:
        """Return what was seen of one loop since the last call."""
        with self._lock:
            self._read()
            seen = list(self._seen[slot])
            self._seen[slot].clear()
        return seen

    def leave(self, slot: int) -> None:
        """Give a slot back."""
        with self._lock:
            self._seen[slot].clear()
            self._free.append(slot)

    def _read(self) -> None:
        # A program that closes every descriptor may have given this number to a file of its own.
        if identity(self._reports) != self._pipe:
            self.refused = "the program has closed the pipe to its watcher"
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

    def __init__(self, slots: Slots, number: int) -> None:
        self._slots, self._number = slots, number
        self.interval = slots.interval

    @property
    def refused(self) -> str | None:
        """Why nothing can be read, once that is known."""
        return self._slots.refused

    @property
    def ready(self) -> bool:
        """Whether the parent is at work."""
        return self._slots.ready

    def beat(self, beat: Beat) -> None:
        """Signal that this thread could have the GIL."""
        BEAT.pack_into(self._slots.shared, self._number * BEAT.size, *beat)

    def collect(self) -> list[Seen]:
        """Return what was seen since the last call."""
        return self._slots.collect(self._number)

    def close(self) -> None:
        """Give the slot back; once."""
        self.beat(Beat(0.0, 0, 0))
        self._slots.leave(self._number)
