"""Live view of a watched program: bars at the bottom of the terminal, or plain lines."""

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any, Protocol, TextIO

from loopclinic.runner.program_record import Recording
from loopclinic.units import duration

_LONG = 1.0  # seconds: a stall that lasts so long is told before it ends
_BURST = 5  # lines a second at most


class View(Protocol):
    """What shows a recording as it grows."""

    def handle(self, message: Mapping[str, Any]) -> None:
        """Handle one message of the program, on the listener's thread."""

    def refresh(self) -> None:
        """Show what is new, about ten times a second, also when nothing was heard."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


@contextlib.contextmanager
def live_view(
    recording: Recording,
    title: str,
    threshold: float,
    *,
    quiet: bool = False,
    stream: TextIO | None = None,
) -> Iterator[View]:
    """Show a program on `stream` (standard error unless given) while the block lasts.

    In a terminal, with rich installed, the last lines are kept for the view and the program scrolls
    above them; elsewhere each stall is a line.
    """
    stream = stream or sys.stderr
    view: View
    if quiet or stream is None:
        view = _Silent(recording)
    elif stream.isatty() and importlib.util.find_spec("rich") and sys.platform != "win32":
        from loopclinic.runner.terminal_footer import Footer  # imports rich

        view = Footer.fitting(recording, title, threshold, stream) or Lines(recording, stream)
    else:
        view = Lines(recording, stream)
    try:
        yield view
    finally:
        view.close()


class _Silent:
    def __init__(self, recording: Recording) -> None:
        self.handle = recording.handle

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        pass


class Lines:
    """One line a stall, as it ends; a long one also while it lasts."""

    def __init__(self, recording: Recording, stream: TextIO) -> None:
        self._recording, self._stream = recording, stream
        self._lock = threading.Lock()
        self._told_live: set[tuple[int, float]] = set()
        self._second, self._lines, self._held_back = 0.0, 0, 0

    def handle(self, message: Mapping[str, Any]) -> None:
        """Handle one message, and print what is worth a line."""
        with self._lock:
            self._recording.handle(message)
            stall = message.get("stall")
            if stall is None or message["kind"] == "amended":  # its line is written already
                return
            words = f"{duration(stall['seconds'])} at {stall['where']}  {stall['code'] or ''}"
            words += f" ({stall['others']})" if stall.get("others") else ""
            if message["kind"] == "stall":
                self._say(f"stuck for {words}")
            elif stall["seconds"] >= _LONG:
                key = (message["id"], round(stall["started"], 6))
                if key not in self._told_live:
                    self._told_live.add(key)
                    self._say(f"still stuck after {words}")

    def refresh(self) -> None:
        """Do nothing: a line is printed only when a message comes."""

    def close(self) -> None:
        """Say how many lines were held back."""
        if self._held_back:
            self._write(f"and {self._held_back} more stalls")

    def _say(self, words: str) -> None:
        now = monotonic()
        if now - self._second >= 1:
            if self._held_back:
                self._write(f"and {self._held_back} more stalls")
            self._second, self._lines, self._held_back = now, 0, 0
        if self._lines >= _BURST:
            self._held_back += 1
            return
        self._lines += 1
        self._write(words)

    def _write(self, words: str) -> None:
        # One write a line, so that it stands whole between the program's own.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"loopclinic: {words.rstrip()}\n")
            self._stream.flush()
