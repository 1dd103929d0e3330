"""Keeps the last lines of a terminal for the live view while the program's output scrolls above."""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Mapping
from io import StringIO
from time import monotonic
from typing import Any, Self, TextIO

from rich.console import Console
from rich.text import Text

from loopclinic.lag_bars import FREE, STUCK, bar
from loopclinic.runner.program_record import Recording
from loopclinic.units import duration

_HEIGHT = 3
_SMALLEST = 8  # lines of a terminal that leave room for a program above
_SILENCE = 0.6  # seconds without a tick that call for a word
_SAVE, _RESTORE, _CLEAR_LINE = "\x1b7", "\x1b8", "\x1b[2K"


class Footer:
    """Keeps the foot of the terminal by its scroll region, as package managers do.

    The program keeps the terminal itself and is not piped through anything: whatever it prints
    scrolls in the lines above, in its own colors and with its own idea of being interactive.
    """

    def __init__(
        self, recording: Recording, title: str, threshold: float, stream: TextIO, rows: int
    ) -> None:
        self._recording, self._title, self._threshold = recording, title, threshold
        self._stream, self._rows = stream, rows
        self._lock = threading.Lock()
        self._bars: deque[float] = deque(maxlen=200)
        self._ticked = monotonic()
        self._last: dict[str, Any] = {}
        self._shown = ""
        self._stalls, self._worst = 0, 0.0
        # Scroll first, or the view would cover what is printed there.
        self._write("\n" * _HEIGHT + f"\x1b[{_HEIGHT}A")

    @classmethod
    def fitting(
        cls, recording: Recording, title: str, threshold: float, stream: TextIO
    ) -> Self | None:
        """Return a footer, or None where the terminal is too small for one."""
        rows = _size(stream)[1]
        return cls(recording, title, threshold, stream, rows) if rows >= _SMALLEST else None

    def handle(self, message: Mapping[str, Any]) -> None:
        """Handle one message."""
        with self._lock:
            self._recording.handle(message)
            if message["kind"] == "tick":
                self._bars.append(message["lag"])
                self._last, self._ticked = dict(message), monotonic()
            elif message["kind"] == "held" and self._last:
                self._last, self._ticked = {**self._last, "stall": message["stall"]}, monotonic()
            elif message["kind"] == "stall":
                self._stalls += 1
                self._worst = max(self._worst, message["stall"]["seconds"])
            elif message["kind"] == "report" and message["over"]:
                self._last = {}

    def refresh(self) -> None:
        """Draw what changed."""
        columns, rows = _size(self._stream)
        with self._lock:
            lines = self._lines(columns)
        top = rows - _HEIGHT + 1
        placed = enumerate(lines, start=top)
        text = "".join(f"\x1b[{at};1H{_CLEAR_LINE}{line}" for at, line in placed)
        if text == self._shown and rows == self._rows:
            return
        self._shown, self._rows = text, rows
        # Setting the region moves the cursor home, hence saved and restored; each time anew, since
        # a program may have set it back.
        self._write(f"{_SAVE}\x1b[1;{top - 1}r{text}{_RESTORE}")

    def close(self) -> None:
        """Give the whole terminal back, with the view's lines empty."""
        top = self._rows - _HEIGHT + 1
        cleared = "".join(f"\x1b[{top + index};1H{_CLEAR_LINE}" for index in range(_HEIGHT))
        self._write(f"{_SAVE}\x1b[r{cleared}{_RESTORE}")

    def _lines(self, columns: int) -> list[str]:
        width = max(20, columns - 1)
        head = Text(f"── loopclinic  {self._title} ", style="dim")
        head.truncate(width)
        head.append("─" * max(0, width - head.cell_len))
        bars = Text()
        for lag in list(self._bars)[-min(60, width // 2) :]:
            bars.append(bar(lag), style=STUCK if lag >= self._threshold else FREE)
        bars.append(f"  {self._figures()}", style="dim")
        return [_ansi(line, width) for line in (head, bars, self._words())]

    def _figures(self) -> str:
        last = self._last
        if not last:
            return "no loop runs"
        busy = last["utilization"]
        figures = [
            f"lag {duration(last['lag'])}",
            "busy unknown" if busy is None else f"busy {busy:.0%}",
            f"tasks {last['tasks']}",
            f"stalls {self._stalls}",
        ]
        return "  ".join([*figures, f"worst {duration(self._worst)}"] if self._stalls else figures)

    def _words(self) -> Text:
        silent = monotonic() - self._ticked
        if not self._last:
            return Text("")
        if silent > _SILENCE:
            why = "something holds the GIL, or the program is stopped"
            return Text(f"NO REPORT for {duration(silent)}: {why}", style=STUCK)
        stall = self._last["stall"]
        if stall is None:
            return Text("the loop turns", style=FREE)
        where = f" at {stall['where']}" if stall["line"] is not None else ""
        words = Text(f"STUCK for {duration(stall['seconds'])}{where}", style=STUCK)
        return words.append(f"  {stall['code']}", style="not bold") if stall["code"] else words

    def _write(self, text: str) -> None:
        # One write, so that nothing of the program's comes between saving the cursor and restoring it.
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()
            os.write(self._stream.fileno(), text.encode("utf-8", "replace"))


def _size(stream: TextIO) -> tuple[int, int]:
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return 80, 0
    return size.columns, size.lines


def _ansi(text: Text, width: int) -> str:
    text.no_wrap = True
    text.truncate(width)
    console = Console(file=StringIO(), force_terminal=True, width=width, highlight=False)
    with console.capture() as captured:
        console.print(text, end="")
    return captured.get()
