"""The lesson's pictures, as SVG that reads on both themes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isnan, log10

from loopclinic.lessons.drawing import Drawing

__all__ = ["COLORS", "Series", "Strip", "answers", "bars", "strips"]

COLORS = {
    "accepted": "var(--lc-calm)",
    "refused": "var(--lc-stall)",
    "reset": "#cc79a7",
    "blue": "var(--lc-lag)",
}
"""Okabe and Ito's, which everybody can tell apart."""

_WIDTH, _LEFT, _RIGHT = 760, 62, 16
_TICK = 0.01

Timeline = Mapping[int, Mapping[int, int]]


@dataclass(frozen=True)
class Series:
    """Points (x, y); joined by a line if `line`, marked by dots if `dots`."""

    points: Sequence[tuple[float, float]]
    color: str
    line: bool = True
    dots: bool = False
    dashed: bool = False
    label: str = ""
    square: bool = False


@dataclass(frozen=True)
class Strip:
    """One chart of several over the same axis: its title, its series, and its vertical scale."""

    title: str
    series: Sequence[Series]
    top: float
    unit: str = ""
    bottom: float = 0.0
    log: bool = False
    ticks: Sequence[float] = ()
    bound: tuple[float, str] | None = None
    height: int = 96


def answers(*charts: tuple[str, Timeline]) -> Drawing:
    """Draw a service's answers over time: accepted upward, refused and reset downward.

    Each chart is a title and the timeline of its `Counts`; all share their scales.
    """
    last = max(
        (max(ticks) for _, timeline in charts for ticks in timeline.values() if ticks), default=1
    )
    wide = max(1, round(last / 90))
    count = last // wide + 1
    binned = [_binned(timeline, wide, count) for _, timeline in charts]
    top = max(1, *(max(one.accepted + one.lost) for one in binned))
    scale = 84 / top
    html, words = "", []
    for (title, _), one in zip(charts, binned, strict=True):
        html += f"<p>{escape(title)}</p>{_mirrored(one, scale, wide * _TICK, title)}"
        words.append(title)
    return Drawing(html, "\n".join(words))


@dataclass(frozen=True)
class _Bins:
    accepted: list[int]
    refused: list[int]
    reset: list[int]

    @property
    def lost(self) -> list[int]:
        return [sum(pair) for pair in zip(self.refused, self.reset, strict=True)]


def _mirrored(bins: _Bins, scale: float, width: float, title: str) -> str:
    left = 84
    middle = 12 + max(20.0, max(bins.accepted) * scale)
    bottom = middle + 4 + max(40.0, max(bins.lost) * scale)
    count = len(bins.accepted)
    step = (_WIDTH - left - _RIGHT) / count
    parts = [
        (
            f"<line x1='{left}' x2='{_WIDTH - _RIGHT}' y1='{middle + 1:.1f}' y2='{middle + 1:.1f}' "
            "stroke='var(--lc-muted)'/>"
        )
    ]
    for index in range(count):
        x = left + index * step
        up = bins.accepted[index] * scale
        parts.append(_rect(x, middle - up, step - 1, up, COLORS["accepted"]))
        y = middle + 2.0
        for name, number in (("refused", bins.refused[index]), ("reset", bins.reset[index])):
            parts.append(_rect(x, y, step - 1, number * scale, COLORS[name]))
            y += number * scale
    for name, y in (("accepted", middle - 6), ("refused", middle + 18), ("reset", middle + 34)):
        parts.append(_text(left - 10, y, name, anchor="end", fill=COLORS[name]))
    for second in _round_ticks(count * width):
        x = left + second / (count * width) * (_WIDTH - left - _RIGHT)
        parts.append(_text(x, bottom + 14, f"{second:g} s", anchor="middle", muted=True))
    return _svg(int(bottom + 22), "".join(parts), title)


def _binned(timeline: Timeline, wide: int, count: int) -> _Bins:
    bins = _Bins([0] * count, [0] * count, [0] * count)
    for status, ticks in timeline.items():
        into = {200: bins.accepted, 0: bins.reset}.get(status, bins.refused)
        for tick, number in ticks.items():
            into[tick // wide] += number
    return bins


def strips(
    charts: Sequence[Strip],
    *,
    low: float,
    high: float,
    ticks: Sequence[float],
    label: str,
    log: bool = False,
    marks: Sequence[tuple[float, str]] = (),
    title: str = "",
) -> str:
    """Return an SVG of several charts above each other, over one horizontal axis.

    `marks` are vertical lines through all of them, with words at the top.
    """

    def across(value: float) -> float:
        share = log10(value / low) / log10(high / low) if log else (value - low) / (high - low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    parts: list[str] = []
    y = 20.0 if marks else 4.0
    first = y
    for chart in charts:
        y += 20
        parts.append(_text(_LEFT, y - 7, chart.title, weight=600))
        parts += _strip(chart, y, across)
        y += chart.height + 6
    for value in ticks:
        parts.append(_text(across(value), y + 12, f"{value:g}", anchor="middle", muted=True))
    parts.append(_text(_WIDTH - _RIGHT, y + 28, label, anchor="end", muted=True))
    for value, words in marks:
        x = across(value)
        parts.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{first}' y2='{y:.1f}' stroke='var(--lc-text)' "
            "stroke-dasharray='2 3'/>"
        )
        left = x > _WIDTH / 2
        parts.append(
            _text(x + (-5 if left else 5), first - 6, words, anchor="end" if left else "start")
        )
    return _svg(int(y + 34), "".join(parts), title)


def bars(
    rows: Sequence[tuple[str, float, str, str]], *, bound: float, bound_label: str, title: str
) -> str:
    """Return an SVG of horizontal bars: (name, value, words at its end, color), against a bound."""
    left, right = 210, 130
    top = max(bound, *(row[1] for row in rows))
    width = _WIDTH - left - right
    parts = []
    for index, (name, value, words, color) in enumerate(rows):
        y = 30 + index * 26
        long = max(1.5, width * value / top)
        parts.append(_text(left - 10, y + 12, name, anchor="end"))
        parts.append(_rect(left, y, long, 16, color))
        parts.append(_text(left + long + 8, y + 12, words))
    x = left + width * bound / top
    bottom = 30 + len(rows) * 26
    parts.append(
        f"<line x1='{x:.1f}' x2='{x:.1f}' y1='20' y2='{bottom}' stroke='var(--lc-text)' "
        "stroke-dasharray='2 3'/>"
    )
    parts.append(_text(x, 13, bound_label, anchor="middle"))
    return _svg(bottom + 4, "".join(parts), title)


def _strip(chart: Strip, top: float, place: Callable[[float], float]) -> list[str]:
    def down(value: float) -> float:
        if chart.log:
            value = max(value, chart.bottom)
            share = log10(value / chart.bottom) / log10(chart.top / chart.bottom)
        else:
            share = (value - chart.bottom) / (chart.top - chart.bottom)
        return top + chart.height * (1 - min(max(share, 0.0), 1.0))

    parts = []
    for value in chart.ticks:
        y = down(value)
        parts.append(
            f"<line x1='{_LEFT}' x2='{_WIDTH - _RIGHT}' y1='{y:.1f}' y2='{y:.1f}' "
            "stroke='var(--lc-faint)'/>"
        )
        parts.append(_text(_LEFT - 8, y + 4, f"{value:,g}{chart.unit}", anchor="end", muted=True))
    if chart.bound is not None:
        value, words = chart.bound
        y = down(value)
        parts.append(
            f"<line x1='{_LEFT}' x2='{_WIDTH - _RIGHT}' y1='{y:.1f}' y2='{y:.1f}' "
            "stroke='var(--lc-text)' stroke-dasharray='2 3'/>"
        )
        parts.append(_text(_LEFT + 4, y - 4, words, muted=True))
    for one in chart.series:
        points = [(place(x), down(y)) for x, y in one.points if not isnan(y)]
        if one.line and len(points) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            dash = " stroke-dasharray='6 4'" if one.dashed else ""
            parts.append(
                f"<polyline points='{path}' fill='none' stroke='{one.color}' stroke-width='2'{dash}/>"
            )
        if one.dots:
            for x, y in points:
                if one.square:
                    parts.append(_rect(x - 4, y - 4, 8, 8, one.color))
                else:
                    parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4.2' fill='{one.color}'/>")
        if one.label and points:
            x, y = points[-1]
            parts.append(_text(x - 6, y - 7, one.label, anchor="end", fill=one.color))
    return parts


def _round_ticks(seconds: float) -> list[float]:
    step = next(
        (one for one in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0) if seconds / one <= 8),  # noqa: PLR2004
        20.0,
    )
    return [number * step for number in range(int(seconds / step) + 1)]


def _rect(x: float, y: float, width: float, height: float, color: str) -> str:
    if height <= 0:
        return ""
    return (
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(width, 0.8):.1f}' height='{height:.1f}' "
        f"fill='{color}'/>"
    )


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    fill: str = "",
    muted: bool = False,
    weight: int = 400,
    size: float = 12.5,
) -> str:
    style = f"font-size:{size}px;font-weight:{weight}" + (f";fill:{fill}" if fill else "")
    kind = " class='lc-muted'" if muted else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' style='{style}'{kind}>"
        f"{escape(words)}</text>"
    )


def _svg(height: int, inside: str, title: str) -> str:
    name = escape(title, quote=True)
    return (
        f"<svg viewBox='0 0 {_WIDTH} {height}' role='img' aria-label='{name}' "
        f"xmlns='http://www.w3.org/2000/svg'>{inside}</svg>"
    )
