"""Slider widget whose moves the kernel's event loop handles, and a chart of how long each one waited."""

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from time import perf_counter
from typing import Any

import anywidget
import traitlets
from IPython.display import DisplayHandle, display

from loopclinic.drawing import scripted, styled
from loopclinic.drawing.charts import fitted
from loopclinic.drawing.svg import line, svg, text
from loopclinic.drawing.tables import Drawing, span
from loopclinic.units import count

_HERE = Path(__file__).parent
_LATE = 0.1
"""Seconds from which on a reader feels the wait (Nielsen, Usability Engineering, 1993)."""
_TICK = 0.25
"""Seconds between two ticks of the timer that stands in for a reader who does not drag."""
_SETTLED = 0.2
"""Seconds without a move after which the picture is drawn again."""


@dataclass(frozen=True, slots=True)
class Move:
    """One move of the slider, or tick of the timer. Times in seconds, of `time.perf_counter`."""

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
    """What became of the moves of one wait: a picture in a notebook, a sentence as text.

    Without moves it speaks of the timer's `ticks`.
    """

    def __init__(self, title: str, moves: Sequence[Move], ticks: Sequence[Move] = ()) -> None:
        self.title = title
        self.moves = tuple(moves)
        self.ticks = tuple(ticks)

    def __len__(self) -> int:
        return len(self.moves)

    def __str__(self) -> str:
        return f"{self.title}: {self._sentence()}"

    __repr__ = __str__

    def _sentence(self) -> str:
        shown, begin, noun = self.moves, "", "move"
        if not shown:
            shown, begin, noun = self.ticks, "nobody dragged, but a timer ticked. ", "tick"
        if not shown:
            return "nothing was due yet."
        late = [move for move in shown if move.wait > _LATE]
        worst = max(move.wait for move in shown)
        if not late:
            return f"{begin}{count(len(shown), noun)}; each reached the loop within {span(worst)}."
        spread = max(move.heard for move in late) - min(move.heard for move in late)
        return (
            f"{begin}{count(len(shown), noun)}; {len(late)} waited, the first for {span(worst)}, "
            f"and then arrived all at once, within {span(max(spread, 0.001))}."
        )

    def drawing(self) -> Drawing:
        """Return the picture: a line for each move, from when it was made to when it was heard."""
        sentence = f"<p><code>{escape(self.title)}</code>: {escape(self._sentence())}</p>"
        drawn = _picture(self.moves, self.ticks) if self.moves or self.ticks else ""
        return Drawing(sentence + drawn, str(self))

    def _repr_html_(self) -> str:
        return self.drawing()._repr_html_()


class _Wait:
    """One block during which the slider is watched. Times of `time.perf_counter`."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.began, self.ended = perf_counter(), float("inf")
        self.ticks: list[Move] = []
        self.shown: DisplayHandle | None = None
        self.drawn = (0, 0)  # how many moves and ticks the picture has


class Slider(anywidget.AnyWidget):
    """A slider from 0 to 100 that shows where the running loop knows it to be.

    Raises:
        RuntimeError: no event loop is running.
    """

    _esm = scripted(_HERE / "slider.js")
    _css = styled(_HERE / "slider.css")
    value = traitlets.Int(50).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._moves: deque[tuple[str, int, float, float]] = deque(maxlen=5000)
        self._ahead: dict[str, float] = {}  # by page: kernel clock minus browser clock, at most
        self._waits: list[_Wait] = []
        self._drawing: asyncio.TimerHandle | None = None
        self.on_msg(self._receive)

    @contextmanager
    def during(self, title: str) -> Iterator[None]:
        """Show the slider here while the block runs, and below it what became of each move.

        The picture needs nobody to ask for it, and stays. A timer ticks meanwhile, so that there is
        something to see even if nobody drags.
        """
        wait = _Wait(title)
        display(self)  # type: ignore[no-untyped-call]
        note = Drawing.note("What becomes of each move will be shown here.")
        wait.shown = display(note, display_id=True)  # type: ignore[no-untyped-call]
        self._waits.append(wait)
        over = threading.Event()
        threading.Thread(target=self._tick, args=(wait, over), daemon=True).start()
        try:
            yield
        finally:
            over.set()
            wait.ended = perf_counter()
            self._draw_soon()

    def _made_during(self, wait: _Wait) -> Moves:
        with self._lock:
            moves = [
                Move(value, min(made + self._ahead[page], heard), heard)
                for page, value, made, heard in self._moves
            ]
        made = [move for move in moves if wait.began <= move.made <= wait.ended]
        return Moves(wait.title, made, wait.ticks)

    def _tick(self, wait: _Wait, over: threading.Event) -> None:
        while not over.wait(_TICK):
            self._loop.call_soon_threadsafe(self._hear_tick, wait, perf_counter())

    def _hear_tick(self, wait: _Wait, made: float) -> None:
        wait.ticks.append(Move(0, made, perf_counter()))

    def _draw_soon(self) -> None:
        """Draw once moves have paused: those of a heap come one after another."""
        if self._drawing is not None:
            self._drawing.cancel()
        self._drawing = self._loop.call_later(_SETTLED, self._draw)

    def _draw(self) -> None:
        self._drawing = None
        for wait in self._waits[-2:]:  # a move may arrive after the next block has begun
            found = self._made_during(wait)
            known = (len(found.moves), len(found.ticks))
            if wait.shown is not None and known != wait.drawn:
                wait.drawn = known
                wait.shown.update(found)  # type: ignore[no-untyped-call]

    def _receive(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        # Called on a thread of its own, or on the loop's, as JupyterLab is set.
        page, ahead = message["page"], perf_counter() - message["sent"]
        with self._lock:
            # The quickest message tells the offset of the two clocks best.
            self._ahead[page] = min(ahead, self._ahead.get(page, ahead))
        if message["number"]:
            self._loop.call_soon_threadsafe(self._hear, message)
        else:
            # Not by way of the loop: the page wants to know of the kernel.
            self.send({"kind": "here"})

    def _hear(self, message: dict[str, Any]) -> None:
        value = message["value"]
        with self._lock:
            self._moves.append((message["page"], value, message["sent"], perf_counter()))
        self.value = value
        answer = {"kind": "heard", "view": message["view"], "number": message["number"]}
        self.send({**answer, "value": value})
        if self._waits:
            self._draw_soon()


def _picture(moves: Sequence[Move], ticks: Sequence[Move]) -> str:
    words = "Each line is one move, from when you made it (dot) to when the loop got it (mark)."
    if all(one.wait <= _LATE for one in (*moves, *ticks)):
        words += " Nothing waited, so both ends coincide."
    if ticks:
        words += f" Gray: a timer that ticks every {span(_TICK)}."
    drawn = fitted(lambda width: _lines(moves, ticks, width, words))
    return f"{drawn}<p class='lc-muted'>{words}</p>"


def _lines(moves: Sequence[Move], ticks: Sequence[Move], width: float, words: str) -> str:
    left, right, top = 4.0, 60.0, 6.0
    shown = sorted(
        [*((move, True) for move in moves), *((tick, False) for tick in ticks)],
        key=lambda one: one[0].made,
    )
    height = min(120.0, 30.0 + 6.0 * len(shown))
    start = shown[0][0].made
    end = max(*(move.heard for move, _ in shown), start + 1.0)
    bottom = top + height

    def at(moment: float) -> float:
        return left + (moment - start) / (end - start) * (width - left - right)

    step = height / max(len(shown), 2)
    drawn = [
        f"<path d='M{left} {bottom + 4} H{width - right}' fill='none' stroke='var(--lc-border)'/>"
    ]
    for second in range(int(end - start) + 1):
        x = at(start + second)
        drawn.append(line(x, x, bottom + 4, bottom + 8, "stroke='var(--lc-border)'"))
        anchor = "start" if second == 0 else "middle"
        drawn.append(text(x, bottom + 22, f"{second} s", anchor=anchor))
    for index, (move, by_hand) in enumerate(shown):
        y = top + index * step
        late = move.wait > _LATE
        color = f"var(--lc-{'stall' if late else 'calm'})" if by_hand else "var(--lc-muted)"
        a, b = at(move.made), at(move.heard)
        mark = (
            f"<path d='M{b - 4:.1f} {y:.1f} l4 -4 l4 4 l-4 4 z' fill='{color}'/>"
            if late
            else f"<circle cx='{b:.1f}' cy='{y:.1f}' r='3' fill='{color}'/>"
        )
        drawn.append(
            f"<g opacity='{1 if by_hand else 0.5}'><line x1='{a:.1f}' x2='{b:.1f}' y1='{y:.1f}' "
            f"y2='{y:.1f}' stroke='{color}' stroke-opacity='.6'/><circle cx='{a:.1f}' cy='{y:.1f}' "
            f"r='1.6' fill='{color}'/>{mark}</g>"
        )
    return svg(width, bottom + 26, drawn, words)
