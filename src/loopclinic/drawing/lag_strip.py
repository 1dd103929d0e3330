"""Lag over time as SVG, as the scope draws it: a line, and each stall a block under a diamond."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from loopclinic.drawing.charts import fitted
from loopclinic.drawing.svg import svg, text
from loopclinic.units import count, duration

_HEIGHT = 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 22, 28
_FLOOR, _CEILING = 0.001, 10.0  # seconds
_MARKED = 200  # stalls that get a mark, the longest ones
_NAMED = 6  # of these, how many get their duration written beside them
_APART = 60  # pixels between two such words


def lag_strip(
    points: Sequence[tuple[float, float]],
    stalls: Sequence[Mapping[str, Any]],
    *,
    span: tuple[float, float],
    title: str,
    threshold: float = 0.05,
) -> str:
    """Return an SVG of a loop's worst lag over time on a log scale, with its stalls.

    `points` are (seconds, lag), `stalls` have `started`, `seconds` and `where`; all within `span` or
    beyond it, where the chart ends with them. `title` says whose lag it is.
    """
    marked = sorted(stalls, key=lambda stall: -stall["seconds"])[:_MARKED]
    ends = [at for at, _ in points] + [stall["started"] + stall["seconds"] for stall in marked]
    first, last = span
    worst = max([lag for _, lag in points] + [stall["seconds"] for stall in marked], default=0.0)
    words = f"{title} over time: {count(len(stalls), 'stall')}, worst {duration(worst)}."

    def draw(width: float) -> str:
        scale = _Scale(first, max([*ends, last, first + 0.1]), width)
        drawn = [*_axes(scale, threshold), _curve(points, stalls, scale), *_marks(marked, scale)]
        return svg(width, _HEIGHT, drawn, words)

    return fitted(draw, wide=920)


class _Scale:
    """Seconds of the program, and seconds of lag, to pixels."""

    def __init__(self, first: float, last: float, width: float) -> None:
        self.first, self.last, self.width = first, last, width

    def x(self, at: float) -> float:
        share = (at - self.first) / (self.last - self.first)
        return _LEFT + min(1.0, max(0.0, share)) * (self.width - _LEFT - _RIGHT)

    def y(self, lag: float) -> float:
        share = math.log(min(max(lag, _FLOOR), _CEILING) / _FLOOR) / math.log(_CEILING / _FLOOR)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _axes(scale: _Scale, threshold: float) -> list[str]:
    parts = []
    right = scale.width - _RIGHT
    for lag in (0.001, 0.01, 0.1, 1.0, 10.0):
        y = scale.y(lag)
        label = f"{lag:g} s" if lag >= 1 else f"{lag * 1000:g} ms"
        parts.append(f'<path class="lc-grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(text(_LEFT - 8, y + 4, label, anchor="end"))
    y = scale.y(threshold)
    parts.append(f'<path class="lc-threshold" d="M{_LEFT} {y:.1f}H{right}"/>')
    ticks = _ticks(scale)
    return [*parts, *(text(scale.x(at), _HEIGHT - 8, f"{at:g} s", anchor="middle") for at in ticks)]


def _ticks(scale: _Scale) -> list[float]:
    """Return round moments, one in about 140 pixels."""
    first, last = scale.first, scale.last
    raw = (last - first) * 140 / scale.width
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    begin = math.ceil(first / step)
    return [round(index * step, 9) for index in range(begin, math.floor(last / step) + 1)]


def _curve(
    points: Sequence[tuple[float, float]], stalls: Sequence[Mapping[str, Any]], scale: _Scale
) -> str:
    """Draw lag in steps, with a gap where a stall stands in its place."""
    spans = sorted((stall["started"], stall["started"] + stall["seconds"]) for stall in stalls)
    path, before, next_span, drawing = [], scale.first, 0, False
    for at, lag in points:
        while next_span < len(spans) and spans[next_span][1] <= before:
            next_span += 1
        if next_span < len(spans) and spans[next_span][0] < at:
            drawing = False
        else:
            y = f"{scale.y(lag):.1f}"
            path.append(f"V{y}" if drawing else f"M{scale.x(before):.1f} {y}")
            path.append(f"H{scale.x(at):.1f}")
            drawing = True
        before = at
    return f'<path class="lc-lag" d="{"".join(path)}"/>' if path else ""


def _marks(stalls: Sequence[Mapping[str, Any]], scale: _Scale) -> list[str]:
    """Each stall is a block as wide as it lasted under a diamond; the longest are named."""
    parts: list[str] = []
    named: list[float] = []
    base = scale.y(_FLOOR)
    for stall in stalls:
        left, right = scale.x(stall["started"]), scale.x(stall["started"] + stall["seconds"])
        top, middle = scale.y(stall["seconds"]), (left + right) / 2
        words = escape(f"{duration(stall['seconds'])} at {stall['where']}")
        right = max(right, left + 1)
        parts.append(
            f"<g><title>{words}</title>"
            f'<path class="lc-stall-block" d="M{left:.1f} {base:.1f}V{top:.1f}H{right:.1f}V{base:.1f}Z"/>'
            f'<path class="lc-stall-edge" d="M{left:.1f} {top:.1f}H{right:.1f}"/>'
            f'<path class="lc-stall-mark" d="M{middle:.1f} {top - 5:.1f}l5 5l-5 5l-5 -5Z"/></g>'
        )
        if len(named) < _NAMED and all(abs(middle - other) > _APART for other in named):
            named.append(middle)
            anchor = "end" if middle > scale.width - _APART else "middle"
            words = duration(stall["seconds"])
            parts.append(text(middle, top - 9, words, anchor=anchor, strong=True))
    return parts
