"""A slider whose moves go through the event loop, and what became of each of them."""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from time import perf_counter
from typing import Any

import anywidget
import traitlets

from loopclinic.lessons.drawing import Drawing, span

__all__ = ["Move", "Moves", "Slider"]

_HERE = Path(__file__).parent
_EPISODE = 8.0
"""Seconds of moves that a picture shows: the wait, and what surrounds it."""
_LATE = 0.1
"""Seconds from which on a reader feels the wait (Nielsen, Usability Engineering, 1993)."""


@dataclass(frozen=True, slots=True)
class Move:
    """One move of the slider. Times in seconds on one clock, that of `time.perf_counter`."""

    value: int
    made: float
    """When the reader made it, from the browser's clock."""
    heard: float
    """When the event loop got to it."""

    @property
    def wait(self) -> float:
        """Seconds from the move to the loop."""
        return max(0.0, self.heard - self.made)


class Moves:
    """What became of some moves: a picture of each one's wait in a notebook, a sentence as text."""

    def __init__(self, moves: Sequence[Move], title: str = "") -> None:
        self.title = title
        last = max((move.heard for move in moves), default=0.0)
        self.moves = tuple(move for move in moves if move.heard > last - _EPISODE)

    def __len__(self) -> int:
        return len(self.moves)

    def __str__(self) -> str:
        named = f"{self.title}: " if self.title else ""
        if not self.moves:
            return (
                f"{named}the slider was not moved. Run that cell again, and drag the slider "
                "until it ends."
            )
        late = [move for move in self.moves if move.wait > _LATE]
        count = f"{len(self)} move{'s' * (len(self) > 1)}"
        worst = max(move.wait for move in self.moves)
        if not late:
            return f"{named}{count}, each one heard within {span(worst)}."
        heap = max(move.heard for move in late) - min(move.heard for move in late)
        return (
            f"{named}{count}; {len(late)} waited, the first for {span(worst)}, and then came in "
            f"one heap, within {span(max(heap, 0.001))}."
        )

    __repr__ = __str__

    def drawing(self) -> Drawing:
        """Return the picture: a line for each move, from when it was made to when it was heard."""
        sentence = f"<p>{_marked(str(self), self.title)}</p>"
        return Drawing(sentence + (_lines(self.moves) if self.moves else ""), str(self))

    def _repr_html_(self) -> str:
        return self.drawing()._repr_html_()


class Slider(anywidget.AnyWidget):
    """A slider from 0 to 100 that shows where the running loop knows it to be.

    Raises:
        RuntimeError: no event loop is running.
    """

    _esm = _HERE / "slider.js"
    _css = _HERE / "slider.css"
    value = traitlets.Int(50).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._moves: deque[tuple[str, int, float, float]] = deque(maxlen=5000)
        self._ahead: dict[str, float] = {}  # by page: kernel clock minus browser clock, at most
        self._taken: dict[str, Moves] = {}
        self.on_msg(self._receive)

    def take(self, title: str) -> Moves:
        """Return the moves since the last `take`; those of the last one of this title if none."""
        with self._lock:
            moves = [
                Move(value, min(made + self._ahead[view], heard), heard)
                for view, value, made, heard in self._moves
            ]
            self._moves.clear()
        if moves or title not in self._taken:
            self._taken[title] = Moves(moves, title)
        return self._taken[title]

    def _receive(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        # Called on a thread of its own, or on the loop's, as JupyterLab is set.
        view, ahead = message["view"], perf_counter() - message["sent"]
        with self._lock:
            # The quickest message tells the offset of the two clocks best.
            self._ahead[view] = min(ahead, self._ahead.get(view, ahead))
        if message["number"]:
            self._loop.call_soon_threadsafe(self._hear, message)

    def _hear(self, message: dict[str, Any]) -> None:
        value = message["value"]
        with self._lock:
            self._moves.append((message["view"], value, message["sent"], perf_counter()))
        self.value = value
        answer = {"kind": "heard", "view": message["view"], "number": message["number"]}
        self.send({**answer, "value": value})


def _marked(text: str, title: str) -> str:
    head, found, rest = text.partition(f"{title}: ") if title else ("", "", text)
    return f"<code>{escape(title)}</code> {escape(rest)}" if found else escape(head or text)


def _lines(moves: Sequence[Move]) -> str:
    width, left, right, top = 740.0, 4.0, 60.0, 6.0
    height = min(120.0, 30.0 + 6.0 * len(moves))
    start = min(move.made for move in moves)
    end = max(*(move.heard for move in moves), start + 1.0)
    bottom = top + height

    def at(moment: float) -> float:
        return left + (moment - start) / (end - start) * (width - left - right)

    step = height / max(len(moves), 2)
    drawn = [
        f"<path d='M{left} {bottom + 4} H{width - right}' fill='none' stroke='var(--lc-faint)'/>"
    ]
    for second in range(int(end - start) + 1):
        x = at(start + second)
        drawn.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{bottom + 4}' y2='{bottom + 8}' "
            f"stroke='var(--lc-faint)'/><text class='lc-muted' x='{x:.1f}' y='{bottom + 22}' "
            f"text-anchor='{'start' if second == 0 else 'middle'}'>{second} s</text>"
        )
    for index, move in enumerate(sorted(moves, key=lambda one: one.made)):
        y = top + index * step
        late = move.wait > _LATE
        color = "var(--lc-stall)" if late else "var(--lc-calm)"
        a, b = at(move.made), at(move.heard)
        mark = (
            f"<path d='M{b - 4:.1f} {y:.1f} l4 -4 l4 4 l-4 4 z' fill='{color}'/>"
            if late
            else f"<circle cx='{b:.1f}' cy='{y:.1f}' r='3' fill='{color}'/>"
        )
        drawn.append(
            f"<line x1='{a:.1f}' x2='{b:.1f}' y1='{y:.1f}' y2='{y:.1f}' stroke='{color}' "
            f"stroke-opacity='.6'/><circle cx='{a:.1f}' cy='{y:.1f}' r='1.6' fill='{color}'/>{mark}"
        )
    label = "each line is one move: from your hand to the loop"
    return (
        f"<svg class='lc-wide' viewBox='0 0 {width:.0f} {bottom + 26:.0f}' role='img' aria-label='{label}'>"
        f"{''.join(drawn)}</svg><p class='lc-muted'>Each line is one move, from your hand (dot) to "
        "the loop (mark).</p>"
    )
