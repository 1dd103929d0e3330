"""SVG diagrams: boxes with arrows that light up, and rows of slots that show how many are in use."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot

from loopclinic.drawing.charts import fitted
from loopclinic.drawing.svg import svg, text

_WIDTH, _BOX_WIDTH, _BOX_HEIGHT = 760, 210, 50
_NARROW = 560
"""Pixels of a diagram for a narrow page: a box of it still holds its name."""
_HEAD = 9
"""Length of an arrow's head."""


@dataclass(frozen=True)
class Box:
    """A box around a name, with a detail below it; `x` and `y` are its middle."""

    name: str
    detail: str
    x: float
    y: float
    lit: bool = False


@dataclass(frozen=True)
class Arrow:
    """An arrow from one box to another, by their places in the list, with words at its middle."""

    start: int
    end: int
    words: str
    lit: bool = False


def diagram(
    boxes: Sequence[Box],
    arrows: Sequence[Arrow],
    *,
    height: int,
    title: str,
    color: str = "lag",
    middle: str = "",
) -> str:
    """Return an SVG of boxes and arrows; what is lit has `color`, one of the scope's.

    `middle` stands in the middle of the boxes, and `title` says in words what is drawn.
    """
    lit = f"var(--lc-{color})"

    def draw(width: float) -> str:
        share = width / _WIDTH
        placed = [replace(box, x=box.x * share) for box in boxes]
        parts = [_arrow(placed[one.start], placed[one.end], one, lit, width) for one in arrows]
        for box in placed:
            left, top = box.x - _BOX_WIDTH * share / 2, box.y - _BOX_HEIGHT / 2
            stroke = f"{lit}' stroke-width='2.5" if box.lit else "var(--lc-border)"
            parts.append(
                f"<rect x='{left:.1f}' y='{top}' width='{_BOX_WIDTH * share:.1f}' "
                f"height='{_BOX_HEIGHT}' rx='6' fill='var(--lc-surface)' stroke='{stroke}'/>"
                + text(box.x, box.y - 4, box.name, anchor="middle", strong=True)
                + text(box.x, box.y + 14, box.detail, anchor="middle")
            )
        if middle:
            x = sum(box.x for box in placed) / len(placed)
            y = sum(box.y for box in placed) / len(placed)
            parts.append(text(x, y + 4, middle, anchor="middle", strong=True))
        return svg(width, height, parts, title)

    return fitted(draw, narrow=_NARROW)


def rows_of_places(rows: Sequence[tuple[str, int, int, str, str]], *, title: str) -> str:
    """Return an SVG of rows: (name, places taken, places in all, color, words behind them)."""
    size, left, parts = 16, 12 + 7 * max(len(name) for name, *_ in rows), list[str]()
    width = 0.0
    for number, (name, taken, many, color, words) in enumerate(rows):
        y = 6 + 30 * number
        parts.append(text(left - 12, y + 13, name, anchor="end"))
        for place in range(many):
            full = place < taken
            fill = f"var(--lc-{color})" if full else "var(--lc-surface)"
            parts.append(
                f"<rect class='lc-place{' lc-full' if full else ''}' x='{left + place * (size + 3)}' "
                f"y='{y}' width='{size}' height='{size}' rx='2' fill='{fill}' "
                "stroke='var(--lc-border)'/>"
            )
        x = left + many * (size + 3) + 8
        width = max(width, x + 7.2 * len(words) + 8)
        parts.append(text(x, y + 13, words, strong=True))
    drawn = svg(width, 6 + 30 * len(rows), parts, title)
    return f"<div style='max-width:{width:.0f}px'>{drawn}</div>"


def _arrow(start: Box, end: Box, arrow: Arrow, lit: str, width: float) -> str:
    x, y = end.x - start.x, end.y - start.y
    length = hypot(x, y)
    x, y = x / length, y / length
    # From border to border, with a gap.
    away = min(
        (_BOX_WIDTH * width / _WIDTH / 2 + 6) / abs(x) if x else length,
        (_BOX_HEIGHT / 2 + 6) / abs(y) if y else length,
    )
    left, top = start.x + away * x, start.y + away * y
    right, bottom = end.x - away * x, end.y - away * y
    color, thick = (lit, "3") if arrow.lit else ("var(--lc-border)", "1.5")
    dash = "" if arrow.lit else " stroke-dasharray='4 4'"
    neck_x, neck_y = right - _HEAD * x, bottom - _HEAD * y
    side_x, side_y = -y * _HEAD / 2, x * _HEAD / 2
    head = (
        f"M{right:.1f} {bottom:.1f}L{neck_x + side_x:.1f} {neck_y + side_y:.1f}"
        f"L{neck_x - side_x:.1f} {neck_y - side_y:.1f}Z"
    )
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    # The words beside the line, away from the middle of the picture.
    beside = 18 if abs(y) > 0.2 else 0
    anchor = "middle" if not beside else "end" if middle_x < width / 2 else "start"
    words_x = middle_x + (0 if not beside else -beside if middle_x < width / 2 else beside)
    words_y = middle_y + (4 if beside else 20)
    return (
        f"<path d='M{left:.1f} {top:.1f}L{neck_x:.1f} {neck_y:.1f}' fill='none' "
        f"stroke='{color}' stroke-width='{thick}'{dash}/><path d='{head}' fill='{color}'/>"
        + text(words_x, words_y, arrow.words, strong=arrow.lit, anchor=anchor)
    )
