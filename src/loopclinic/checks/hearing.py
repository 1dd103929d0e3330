"""What is heard of a trial: its reports, what it prints, and where its main thread stands."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from loopclinic.checks.limits import Limits

__all__ = ["Hearing", "Outcome"]

_SILENCE = 1.0
_DUMP = re.compile(r'\s+File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)')
_THREAD = re.compile(r"(?:Current thread|Thread) 0x(?P<ident>[0-9a-f]+)")


@dataclass(slots=True)
class Outcome:
    """What was heard of a trial, and how it ended.

    `cause` is `ended` (the child said how, in `end`), `died`, or the limit it was stopped for:
    `deadline`, `memory`, `output`, `processes`, `stopped`.
    """

    cause: str = "died"
    end: dict[str, Any] = field(default_factory=dict)
    ready: bool = False
    step: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    stuck: dict[str, Any] | None = None
    waits: list[dict[str, Any]] = field(default_factory=list)
    stack: list[tuple[str, int]] = field(default_factory=list)
    """File and line of the main thread's frames when it was stopped, innermost first."""
    exit_status: int | None = None
    output: str = ""
    used: float = 0.0
    """Bytes or count that passed the limit named by `cause`."""
    shortage: float = 0.0
    """Share of the trial's time, 0 to 1, for which other programs had its processor."""
    worst_shortage: float = 0.0
    """The same share of the two seconds in which it was largest."""
    wanted: float = 0.0
    """Share of it for which the trial's main thread ran, or waited to."""
    seconds: float = 0.0


class Hearing:
    """Listens to a child on two threads; `outcome` is what was heard so far, `news` that there is more.

    `mark` stands in front of the child's own reports; what else comes is the stack dumps that were
    asked for. `on_ready` is called, on a thread, when the child is about to import the lab.
    """

    def __init__(self, mark: str, limits: Limits, *, on_ready: Callable[[], None]) -> None:
        self.outcome = Outcome()
        self.news = threading.Event()
        self.output_bytes = 0
        self._mark = mark
        self._limits = limits
        self._on_ready = on_ready
        self._output = bytearray()
        self._heard = time.monotonic()
        self._main = 0
        self._noise: list[str] = []
        self._readers: list[threading.Thread] = []

    def listen(self, reports: IO[bytes], output: IO[bytes]) -> None:
        """Read both to their end, each on a thread of its own."""
        for target, stream in ((self._hear, reports), (self._read_output, output)):
            thread = threading.Thread(target=target, args=(stream,), daemon=True)
            thread.start()
            self._readers.append(thread)

    def join(self, seconds: float) -> None:
        """Wait for the end of each, for so many seconds at most."""
        for reader in self._readers:
            reader.join(seconds)

    def stack_of_main(self) -> list[tuple[str, int]]:
        """Return file and line of the main thread's frames in the last dump, innermost first."""
        inside, found = False, []
        for line in list(self._noise):
            head = _THREAD.match(line)
            if head:
                inside = int(head["ident"], 16) == self._main
            elif inside and (frame := _DUMP.match(line)):
                found.append((frame["file"], int(frame["line"])))
        return found

    def close(self) -> None:
        """Put the last of it into the outcome: the stack, the output, how long nothing was heard."""
        outcome = self.outcome
        outcome.stack = self.stack_of_main()
        outcome.output = bytes(self._output).decode("utf-8", "replace")
        silent = time.monotonic() - self._heard
        if outcome.stuck is not None:
            outcome.stuck["seconds"] += silent
        elif outcome.cause not in ("ended", "died") and silent > _SILENCE:
            # A C call that holds the GIL stops the child's lookout too.
            outcome.stuck = {"seconds": silent, "place": None}

    def _hear(self, stream: IO[bytes]) -> None:
        mark = self._mark.encode()
        with stream:
            for line in stream:
                if line.startswith(mark):
                    try:
                        self._note(json.loads(line[len(mark) :]))
                    except (ValueError, KeyError, TypeError):
                        continue
                elif len(self._noise) < 2000:  # noqa: PLR2004 - a few stacks' worth
                    self._noise.append(line.decode("utf-8", "replace").rstrip("\n"))
        self.news.set()

    def _note(self, message: dict[str, Any]) -> None:
        outcome = self.outcome
        match message["kind"]:
            case "hello":
                self._main = message["main"]
            case "ready":
                self._on_ready()
                outcome.ready = True
            case "step":
                outcome.step = message["name"]
                self.news.set()
            case "fact":
                outcome.facts[message["name"]] = message["value"]
            case "alive":
                outcome.stuck = message["stuck"]
                self._heard = time.monotonic()
            case "waits":
                outcome.waits = message["places"]
            case "end":
                outcome.end = message
                self.news.set()

    def _read_output(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), stream:
            while data := stream.read(1 << 16):
                self.output_bytes += len(data)
                room = self._limits.kept_output - len(self._output)
                self._output += data[: max(0, room)]
                if self.output_bytes > self._limits.output:
                    self.news.set()
