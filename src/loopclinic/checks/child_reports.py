"""Collects the child's messages, its output, and the position of its main thread during a trial."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from loopclinic.checks.trial_processes import Limits

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
    virtual: bool = False
    """Whether it is in virtual time: what other programs took of its time doesn't count."""
    step: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    stuck: dict[str, Any] | None = None
    """How the main thread was stuck for more than half of the last step, or of the trial: `seconds` and
    `stretches` in all, the `place` with most of them (None: none of the lab's was seen) and its `share`."""
    step_seconds: float = 0.0
    """Time in the last step, or since the import began if there was none."""
    waits: list[dict[str, Any]] = field(default_factory=list)
    stack: list[tuple[str, int]] = field(default_factory=list)
    """File and line of the main thread's frames when it was stopped, innermost first."""
    leaves: dict[str, Any] | None = None
    """The lab's line that ended the process, or sent it a signal."""
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


class _Stretches:
    """Adds up, by line, how long the main thread has been stuck since this was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._now: dict[str, Any] | None = None
        self._number = 0
        self._lines: dict[tuple[str, int] | None, tuple[float, dict[str, Any] | None]] = {}

    def age(self) -> float:
        """Return the seconds since this was made."""
        return time.monotonic() - self._began

    def note(self, stuck: dict[str, Any] | None) -> None:
        """Take in a report: how long the main thread has been stuck, and where; None if it is not."""
        if stuck is not None:
            before = self._now["seconds"] if self._now else max(0.0, stuck["seconds"] - self.age())
            self._add(stuck["seconds"] - before, stuck["place"])
        self._now = stuck

    def end(self, silent: float, *, by_limit: bool) -> None:
        """Take in that nothing was heard for the last so many seconds, before a limit or the end."""
        # A C call that holds the GIL stops the child's reporter too.
        if self._now or (by_limit and silent > _SILENCE):
            self._add(silent, self._now and self._now["place"])

    def _add(self, seconds: float, place: dict[str, Any] | None) -> None:
        key = (str(place.get("file")), place["line"]) if place else None
        self._lines[key] = (self._lines.get(key, (0.0,))[0] + seconds, place)
        self._number += self._now is None

    def most(self) -> dict[str, Any] | None:
        """Return what `Outcome.stuck` holds if it is more than half of the time, else None."""
        total = sum(seconds for seconds, _ in self._lines.values())
        if total <= self.age() / 2:
            return None
        most, place = max(self._lines.values(), key=lambda line: line[0])
        share = most / total
        return {"seconds": total, "stretches": self._number, "place": place, "share": share}


class ChildReports:
    """Listens to a child on two threads; `outcome` is what was heard so far, `news` that there is more.

    `mark` stands in front of the child's own reports; what else comes is the stack dumps that were
    asked for. `on_ready` is called, on a thread, when the child is about to import the lab.
    """

    def __init__(self, mark: str, limits: Limits, *, on_ready: Callable[[], None]) -> None:
        self.outcome = Outcome()
        self.news = threading.Event()
        self.output_bytes = 0
        self._mark, self._limits, self._on_ready = mark, limits, on_ready
        self._output, self._heard, self._main = bytearray(), time.monotonic(), 0
        self._trial, self._step = _Stretches(), _Stretches()
        self._noise: list[str] = []
        self._readers: list[threading.Thread] = []

    def listen(self, reports: IO[bytes], output: IO[bytes]) -> None:
        """Read both to their end, each on a thread of its own."""
        for target, stream in ((self._read_messages, reports), (self._read_output, output)):
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
        outcome.step_seconds = self._step.age()
        for stretches in (self._step, self._trial):
            stretches.end(silent, by_limit=outcome.cause not in ("ended", "died"))
            outcome.stuck = outcome.stuck or stretches.most()

    def _read_messages(self, stream: IO[bytes]) -> None:
        mark = self._mark.encode()
        with stream:
            for line in stream:
                if line.startswith(mark):
                    try:
                        self._note(json.loads(line[len(mark) :]))
                    except (ValueError, KeyError, TypeError):
                        continue
                elif len(self._noise) < 2000:  # a few stacks' worth
                    self._noise.append(line.decode("utf-8", "replace").rstrip("\n"))
        self.news.set()

    def _note(self, message: dict[str, Any]) -> None:
        outcome = self.outcome
        match message["kind"]:
            case "hello":
                self._main = message["main"]
            case "ready":
                self._on_ready()
                outcome.ready, outcome.virtual = True, message["virtual"]
                self._trial, self._step = _Stretches(), _Stretches()
            case "step":
                outcome.step = message["name"]
                self._step = _Stretches()
                self.news.set()
            case "fact":
                outcome.facts[message["name"]] = message["value"]
            case "alive":
                self._heard = time.monotonic()
                self._trial.note(message["stuck"])
                self._step.note(message["stuck"])
            case "leaves":
                outcome.leaves = message["place"]
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
