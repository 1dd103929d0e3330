"""Live view of a watched program: bars at the bottom of the terminal, or plain lines."""

import contextlib
import importlib.util
import sys
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO

from loopclinic.runner.program_record import Recording
from loopclinic.units import duration

if TYPE_CHECKING:
    from loopclinic.runner.terminal_footer import Footer

_LONG = 1.0  # seconds: a stall that lasts so long is told before it ends
_BURST = 5  # lines a second at most


class View:
    """What shows a recording as it grows; this one shows nothing."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def handle(self, message: Mapping[str, Any]) -> None:
        """Handle one message of the program, on the listener's thread."""
        self._recording.handle(message)

    def refresh(self) -> None:
        """Show what is new, about ten times a second, also when nothing was heard."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


def live_view(
    recording: Recording,
    title: str,
    threshold: float,
    *,
    quiet: bool = False,
    stream: TextIO | None = None,
) -> "AbstractContextManager[View | Footer]":
    """Show a program on `stream` (standard error unless given) while the block lasts.

    In a terminal, with rich installed, the last lines are kept for the view and the program scrolls
    above them; elsewhere each stall is a line.
    """
    stream = stream or sys.stderr
    if quiet or stream is None:
        return contextlib.closing(View(recording))
    if stream.isatty() and importlib.util.find_spec("rich") and sys.platform != "win32":
        from loopclinic.runner.terminal_footer import Footer  # imports rich

        if (footer := Footer.fitting(recording, title, threshold, stream)) is not None:
            return contextlib.closing(footer)
    return contextlib.closing(Lines(recording, stream))


class Lines(View):
    """One line a stall, as it ends; a long one also while it lasts."""

    def __init__(self, recording: Recording, stream: TextIO) -> None:
        super().__init__(recording)
        self._stream = stream
        self._lock = threading.Lock()
        self._told_live: set[tuple[int, float]] = set()
        self._second, self._lines, self._held_back = 0.0, 0, 0

    def handle(self, message: Mapping[str, Any]) -> None:
        """Handle one message, and print what is worth a line."""
        with self._lock:
            super().handle(message)
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
