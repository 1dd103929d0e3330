"""Charts as SVG that reads on both themes: strips over one axis, answers of a service over time."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isnan, log10
from textwrap import wrap

from loopclinic.drawing.svg import line, rect, svg, text
from loopclinic.drawing.tables import Drawing
from loopclinic.units import shortened

COLORS = {
    "accepted": "var(--lc-calm)",
    "refused": "var(--lc-stall)",
    "reset": "var(--lc-reset)",
    "blue": "var(--lc-lag)",
    "muted": "var(--lc-muted)",
}

_WIDE, _NARROW = 760.0, 420.0
_LETTER, _STRONG = 6.3, 7.2
"""Pixels of a character, about."""
_LEFT, _RIGHT = 62, 16
_TICK = 0.01
"""Seconds of a tick of a service's timeline."""
_BOUND = "class='lc-threshold'"
_GRID, _BASE = "class='lc-grid'", "class='lc-base'"
_AROUND = "stroke='var(--lc-text)' stroke-width='1.5'"
_ROW, _LINE = 28, 16

Timeline = Mapping[int, Mapping[int, int]]


@dataclass(frozen=True)
class Series:
    """Points (x, y): joined by a line, as `steps` if so said, or marked by `dots` (or squares)."""

    points: Sequence[tuple[float, float]]
    color: str
    line: bool = True
    dots: bool = False
    dashed: bool = False
    steps: bool = False
    square: bool = False


@dataclass(frozen=True)
class Bars:
    """Columns (x, from, to), each so wide in units of x."""

    columns: Sequence[tuple[float, float, float]]
    color: str
    width: float


@dataclass(frozen=True)
class Strip:
    """One chart of several over the same axis: its title, its series, and its vertical scale."""

    title: str
    series: Sequence[Series | Bars]
    top: float
    bottom: float = 0.0
    log: bool = False
    ticks: Sequence[float] = ()
    bound: tuple[float, str] | None = None
    """A height that is drawn as a line, and what it is."""
    height: int = 96
    write: Callable[[float], str] = lambda value: f"{abs(value):,g}"
    """How a tick of the vertical scale is written."""


@dataclass(frozen=True)
class Bar:
    """One bar from zero: its name, its length, its color, and the least and the most around it."""

    name: str
    value: float
    color: str = "var(--lc-lag)"
    around: tuple[float, float] | None = None


def scale(top: float, most: int = 5) -> list[float]:
    """Return round ticks from 0 to `top`, `most` steps at the most."""
    step = next(
        digit * 10.0**power
        for power in range(-6, 12)
        for digit in (1, 2, 2.5, 5)
        if top <= most * digit * 10.0**power
    )
    return [round(number * step, 9) for number in range(int(top / step + 1e-9) + 1)]


def fitted(draw: Callable[[float], str], *, wide: float = _WIDE, narrow: float = _NARROW) -> str:
    """Return what `draw` returns for either width, in pixels; the page shows the one that fits."""
    return f"<div class='lc-fit'>{draw(wide)}{draw(narrow)}</div>"


def legend(*rows: tuple[str, str], between: str = "<br>") -> str:
    """Return HTML that says what each color is: (color, words)."""
    words = (f"<span style='color:{color}'>&#9632;</span> {escape(it)}" for color, it in rows)
    return f"<p>{between.join(words)}</p>" if rows else ""


def strips(
    charts: Iterable[Strip],
    *,
    low: float,
    high: float,
    ticks: Iterable[float],
    label: str,
    log: bool = False,
    marks: Iterable[tuple[float, str]] = (),
    title: str = "",
    write: Callable[[float], str] = "{:g}".format,
    grid: bool = False,
) -> str:
    """Return an SVG of several charts above each other, over one horizontal axis.

    `marks` are vertical lines through all of them, with words at the top; `grid` draws faint ones
    at the ticks.
    """
    charts, ticks, marks = tuple(charts), tuple(ticks), tuple(marks)

    def draw(width: float) -> str:
        def across(value: float) -> float:
            share = log10(value / low) / log10(high / low) if log else (value - low) / (high - low)
            return _LEFT + share * (width - _LEFT - _RIGHT)

        parts: list[str] = []
        y = first = 20.0 if marks else 4.0
        for chart in charts:
            y += 20
            for row in _lines(chart.title, width - _LEFT, _STRONG):
                parts.append(text(_LEFT, y - 7, row, strong=True))
                y += _LINE
            y -= _LINE
            parts += _strip(chart, y, across, width - _RIGHT)
            # A mark leaves the titles free.
            parts += (
                line(across(value), across(value), y, y + chart.height, _BOUND)
                for value, _ in marks
            )
            y += chart.height + 6
        if grid:
            parts[:0] = (line(across(value), across(value), first, y, _GRID) for value in ticks)
        parts += _ticks([(across(value), write(value)) for value in ticks], y + 12)
        for value, words in marks:
            x, left = across(value), across(value) > width / 2
            anchor = "end" if left else "start"
            parts.append(text(x + (-5 if left else 5), first - 6, words, anchor=anchor))
        y += 28
        for row in _lines(label, width, _LETTER):
            parts.append(text(width - _RIGHT, y, row, anchor="end"))
            y += _LINE
        return svg(width, y - _LINE + 6, parts, title)

    return fitted(draw)


def bars(
    rows: Sequence[Bar],
    *,
    write: Callable[[float], str],
    label: str,
    bound: tuple[float, str] | None = None,
) -> str:
    """Return an SVG of bars that all begin at zero, each with its figure, over one linear axis.

    A thin line on a bar goes from the least to the most that was measured. `bound` is a value that is
    drawn as a line through all of them, and what it is.
    """
    ends = [max(one.value, *(one.around or (0.0,))) for one in rows if not isnan(one.value)]
    ticks = scale(max([*ends, bound[0] if bound else 0.0]) or 1.0)
    longest = max([*ends, ticks[-1], bound[0] if bound else 0.0]) or 1.0
    figures = max((len(write(one.value)) for one in rows if not isnan(one.value)), default=0)
    said = "; ".join(f"{one.name} {write(one.value)}" for one in rows)

    def draw(width: float) -> str:
        named = 18 + 7.8 * max((len(one.name) for one in rows), default=0)
        left = min(width * 0.4, named)
        letters = int((left - 18) / 7.8 + 1e-6)
        room = width - left - max(width * 0.11, 14 + 7.8 * figures)

        def across(value: float) -> float:
            return left + room * value / longest

        limit = _lines(bound[1], width / 2, _LETTER) if bound else []
        top = 4.0 + _LINE * len(limit)
        floor = top + _ROW * len(rows)
        parts = [
            line(across(value), across(value), top, floor, _GRID if value else _BASE)
            for value in ticks
        ]
        parts += _ticks([(across(it), write(it) if it else "0") for it in ticks], floor + 14)
        parts.append(text(width, floor + 30, label, anchor="end"))
        free = []  # the rows whose figure a line at the bound would cross
        for number, one in enumerate(rows):
            y = top + _ROW * number + 5
            parts.append(
                text(left - 8, y + 13, shortened(one.name, letters), anchor="end", strong=True)
            )
            if isnan(one.value):
                parts.append(text(left + 6, y + 13, "not measured"))
                continue
            parts.append(rect(left, y, across(one.value) - left, 17, f"fill='{one.color}'"))
            end = one.value
            if one.around is not None and one.around[1] > one.around[0]:
                least, most = one.around
                end = max(end, most)
                parts.append(line(across(least), across(most), y + 8.5, y + 8.5, _AROUND))
            begun, words = across(end) + 7, write(one.value)
            parts.append(text(begun, y + 13, words, strong=True))
            if bound and begun - 4 < across(bound[0]) < begun + _STRONG * len(words) + 4:
                free.append(number)
        if bound is not None:
            x = across(bound[0])
            for number in range(len(rows)):
                y = top + _ROW * number
                gap = (y + 5, y + 23) if number in free else (y, y)
                parts += (
                    line(x, x, begun, ended, _BOUND)
                    for begun, ended in ((y, gap[0]), (gap[1], y + _ROW))
                )
            anchor = "end" if x > width / 2 else "start"
            parts += (
                text(x, 13 + _LINE * number, words, anchor=anchor)
                for number, words in enumerate(limit)
            )
        return svg(width, floor + 36, parts, f"{label}: {said}")

    return fitted(draw)


def seconds(value: float) -> str:
    """Return seconds as the tick of an axis says them: `0`, `250 ms`, `1.5 s`."""
    if not value:
        return "0"
    return f"{value:g} s" if value >= 0.9995 else f"{value * 1000:g} ms"


def _lines(words: str, room: float, letter: float) -> list[str]:
    """Return words in as many lines as they need; none that is empty."""
    return wrap(words, max(int(room / letter), 12))


def _ticks(ticks: Iterable[tuple[float, str]], y: float) -> Iterator[str]:
    """Yield the words of an axis at their places, but for those that there is no room for."""
    taken = float("-inf")
    for x, words in ticks:
        half = _LETTER * len(words) / 2
        if x - half > taken:
            taken = x + half + 6
            yield text(x, y, words, anchor="middle")


def _strip(chart: Strip, top: float, across: Callable[[float], float], end: float) -> list[str]:
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
        parts.append(line(_LEFT, end, y, y, _GRID))
        parts.append(text(_LEFT - 8, y + 4, chart.write(value), anchor="end"))
    if chart.bound is not None:
        value, words = chart.bound
        y = down(value)
        parts.append(line(_LEFT, end, y, y, _BOUND))
        parts.append(text(_LEFT + 4, y - 4, words))
    for one in chart.series:
        if isinstance(one, Bars):
            for x, low, high in one.columns:
                left, wide = across(x), across(x + one.width) - across(x)
                y, floor = sorted((down(low), down(high)))
                parts.append(rect(left, y, max(wide - 1, 0.8), floor - y, f"fill='{one.color}'"))
            continue
        points = [(across(x), down(y)) for x, y in one.points if not isnan(y)]
        if one.line and len(points) > 1:
            path = f"M{points[0][0]:.1f} {points[0][1]:.1f}" + "".join(
                f"H{x:.1f}V{y:.1f}" if one.steps else f"L{x:.1f} {y:.1f}" for x, y in points[1:]
            )
            dash = " stroke-dasharray='6 4'" if one.dashed else ""
            parts.append(f"<path class='lc-line' d='{path}' stroke='{one.color}'{dash}/>")
        if one.square:
            parts += (rect(x - 4, y - 4, 8, 8, f"fill='{one.color}'") for x, y in points)
        elif one.dots:
            faint = "" if one.line else " fill-opacity='.6'"
            parts += (
                f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4' fill='{one.color}'{faint}/>"
                for x, y in points
            )
    return parts


def answers(*charts: tuple[str, Timeline]) -> Drawing:
    """Draw a service's answers over time: accepted upward, refused and reset downward.

    Each chart is a title and the timeline of its `Counts`; all share their scales.
    """
    shown = []
    for title, timeline in charts:
        others = (Counter(one) for status, one in timeline.items() if status not in (0, 200))
        refused: Counter[int] = sum(others, Counter())
        accepted, reset = (timeline.get(status, {}) for status in (200, 0))
        shown.append((title, {"accepted": accepted, "refused": refused, "reset": reset}))
    return columns("answers", *shown, down=("refused", "reset"))


def columns(
    what: str,
    *charts: tuple[str, Mapping[str, Mapping[int, int]]],
    down: Sequence[str] = (),
) -> Drawing:
    """Draw how many of each kind came in each stretch of time, one chart below the other.

    Each chart is a title and, for each kind, a count by tick of 10 ms since the start; the kinds in
    `down` hang from the axis. All charts share their scales.
    """
    last = max((tick for _, kinds in charts for one in kinds.values() for tick in one), default=1)
    wide = max(1, round(last / 90))
    width, end = wide * _TICK, (last // wide + 1) * wide * _TICK
    shown = []
    for title, kinds in charts:
        tops: dict[int, Counter[int]] = {1: Counter(), -1: Counter()}
        bars = []
        for kind, ticks in kinds.items():
            sign = -1 if kind in down else 1
            floor, binned = tops[sign].copy(), tops[sign]
            for tick, number in ticks.items():
                binned[tick // wide] += number
            stack = [(x * width, sign * floor[x], sign * top) for x, top in binned.items()]
            bars.append(Bars(stack, COLORS.get(kind, COLORS["blue"]), width))
        above, below = (max(tops[sign].values(), default=0) for sign in (1, -1))
        shown.append((title, bars, above, below))
    most = max(1, *(max(above, below) for _, _, above, below in shown))
    colors = [(COLORS[kind], kind) for kind in charts[0][1]] if down else []
    html = legend(*colors, between=" &ensp; ")
    for title, bars, above, below in shown:
        top, bottom = max(above, most / 4), max(below, most / 4) if down else 0
        strip = Strip(
            f"{what} in {width * 1000:.0f} ms",
            bars,
            top,
            bottom=-bottom,
            ticks=[peak for peak in {above, 0, -below} if peak == 0 or 6 * abs(peak) > most],
            height=round(84 * (top + bottom) / most),
        )
        axis = strips([strip], low=0, high=end, ticks=scale(end, 8), label="seconds", title=title)
        html += f"<p>{escape(title)}</p>{axis}"
    return Drawing(html, "\n".join(title for title, _ in charts))
