"""The lesson's pictures, as SVG that reads on both themes."""

from collections.abc import Iterable, Mapping, Sequence
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
_NAMES = {200: "accepted", 429: "refused", 0: "reset"}


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


def answers(timeline: Mapping[int, Mapping[int, int]], *, title: str, most: int = 0) -> Drawing:
    """Draw a service's answers over time: accepted upward, refused and reset downward.

    `timeline` is that of `Counts`; `most` fixes the scale, in answers a bin, of several drawings.
    """
    binned, seconds, width = _binned(timeline)
    total = {name: sum(binned[name]) for name in binned}
    down = [sum(pair) for pair in zip(binned["refused"], binned["reset"], strict=True)]
    top = max(most, *binned["accepted"], *down, 1)
    count = len(down)
    height, middle = 210, 78
    scale = (height - middle - 34) / top
    step = (_WIDTH - _LEFT - _RIGHT) / count
    marks = []
    for index in range(count):
        x = _LEFT + index * step
        up = min(binned["accepted"][index] * scale, middle - 16)
        marks.append(_rect(x, middle - up, step - 1, up, COLORS["accepted"]))
        y = middle + 2.0
        for name in ("refused", "reset"):
            tall = binned[name][index] * scale
            marks.append(_rect(x, y, step - 1, tall, COLORS[name]))
            y += tall
    axis = f"<line x1='{_LEFT}' x2='{_WIDTH - _RIGHT}' y1='{middle + 1}' y2='{middle + 1}' stroke='var(--lc-muted)'/>"
    labels = [
        _text(_LEFT - 8, middle - 8, "accepted", anchor="end", fill=COLORS["accepted"], size=12),
        _text(_LEFT - 8, middle + 20, "refused", anchor="end", fill=COLORS["refused"], size=12),
        _text(_LEFT - 8, middle + 36, "reset", anchor="end", fill=COLORS["reset"], size=12),
    ]
    for second in _round_ticks(seconds):
        x = _LEFT + second / (count * width) * (_WIDTH - _LEFT - _RIGHT)
        labels.append(_text(x, height - 4, f"{second:g} s", anchor="middle", muted=True))
    svg = _svg(height, axis + "".join(marks) + "".join(labels), title)
    words = f"{title} Bins of {width * 1000:.0f} ms; " + ", ".join(
        f"{name} {number:,}" for name, number in total.items()
    )
    return Drawing(f"<p>{escape(title)}</p>{svg}", words)


def largest(timelines: Iterable[Mapping[int, Mapping[int, int]]]) -> int:
    """Return the tallest bar that `answers` would draw for any of them."""
    most = 1
    for timeline in timelines:
        binned, _, _ = _binned(timeline)
        down = [sum(pair) for pair in zip(binned["refused"], binned["reset"], strict=True)]
        most = max(most, *binned["accepted"], *down)
    return most


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


def _strip(chart: Strip, top: float, across: "object") -> list[str]:
    place = across
    assert callable(place)

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


def _binned(
    timeline: Mapping[int, Mapping[int, int]],
) -> tuple[dict[str, list[int]], float, float]:
    """Return the answers by name and bin, the seconds they span, and the width of a bin."""
    last = max((max(ticks) for ticks in timeline.values() if ticks), default=1)
    seconds = (last + 1) * _TICK
    wide = max(1, round(last / 90))
    count = last // wide + 1
    binned = {name: [0] * count for name in _NAMES.values()}
    for status, ticks in timeline.items():
        name = _NAMES.get(status, "refused")
        for tick, number in ticks.items():
            binned[name][tick // wide] += number
    return binned, seconds, wide * _TICK


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
