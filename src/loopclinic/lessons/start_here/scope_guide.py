"""Draws three annotated pictures of the reader's own scope: calm, a stall, and the line that is named."""

from collections.abc import Sequence
from html import escape
from math import log10
from statistics import median
from typing import Any

from loopclinic.drawing.tables import Drawing, span
from loopclinic.scope import Scope

_WIDTH, _HEIGHT, _LEFT, _TOP, _FLOOR = 236.0, 138.0, 44.0, 14.0, 112.0
_LOW, _HIGH = 0.001, 10.0
"""Seconds: the scope's own log scale."""
_AROUND = 1.5  # seconds shown before and after a stall
_CALM = 4.0  # seconds of calm shown


def marked(scope: Scope) -> Drawing:
    """Return the three pictures, or a sentence if nothing has stalled yet."""
    histories = [scope.recorder.history(), *([scope.earlier] if scope.earlier else [])]
    seen = [(one, [s for s in one["stalls"] if not s["cell"]]) for one in histories]
    history, stalls = next((one for one in seen if one[1]), (histories[0], []))
    if not stalls:
        return Drawing.note("Nothing has stalled yet: run the cell with time.sleep, then this one.")
    stall = max(stalls, key=lambda one: one["seconds"])
    ticks = [(at, lag) for at, lag in history["ticks"] if lag is not None]
    panels = [_calm(ticks, stall), _stalled(ticks, stall), _line(stall, history)]
    html = "".join(
        "<figure style='flex:1 1 210px;min-width:0;max-width:300px;margin:0'>"
        f"<figcaption style='margin-bottom:2px'><b>{number}. {escape(title)}</b></figcaption>"
        f"{picture}<p class='lc-muted'>{escape(words)}</p></figure>"
        for number, (title, picture, words) in enumerate(panels, start=1)
    )
    text = "\n".join(f"{n}. {title}: {words}" for n, (title, _, words) in enumerate(panels, 1))
    return Drawing(f"<div style='display:flex;flex-wrap:wrap;gap:8px 24px'>{html}</div>", text)


def _calm(ticks: Sequence[tuple[float, float]], stall: dict[str, Any]) -> tuple[str, str, str]:
    over = stall["started"] + stall["seconds"] + 0.2
    after = [(at, lag) for at, lag in ticks if at > over] or list(ticks)
    last = after[-1][0] if after else over
    shown = [(at, lag) for at, lag in after if at > last - _CALM]
    usual = median(lag for _, lag in shown) if shown else 0.0
    picture = _axes(last - _CALM, last, shown)
    words = (
        "The line is lag: how late the loop would be for an event that is ready. Half of the "
        f"time, here: {span(usual)}."
    )
    return "Calm", picture, words


def _stalled(ticks: Sequence[tuple[float, float]], stall: dict[str, Any]) -> tuple[str, str, str]:
    began, seconds = stall["started"], stall["seconds"]
    start, end = began - _AROUND, began + seconds + _AROUND
    shown = [(at, lag) for at, lag in ticks if start <= at <= end]
    a, b, y = _x(began, start, end), _x(began + seconds, start, end), _y(seconds)
    block = (
        f"<rect x='{a:.1f}' y='{y:.1f}' width='{b - a:.1f}' height='{_FLOOR - y:.1f}' "
        "class='lc-stall-block'/>"
        f"<path class='lc-stall-edge' d='M{a:.1f} {y:.1f} H{b:.1f}'/>"
        f"<path class='lc-stall-mark' d='M{(a + b) / 2 - 5:.1f} {y:.1f} l5 -5 l5 5 l-5 5 z'/>"
        f"<text class='lc-strong' x='{(a + b) / 2:.1f}' y='{_FLOOR - 12}' text-anchor='middle'>{span(seconds)}</text>"
    )
    words = (
        f"A stall is as wide and as tall as it was long: {span(seconds)}. Whatever became ready "
        "meanwhile waited for the rest of it."
    )
    return "Stalled", _axes(start, end, shown, block), words


def _line(stall: dict[str, Any], history: dict[str, Any]) -> tuple[str, str, str]:
    rows = [
        f"<div style='font-size:24px;line-height:1.5;color:var(--lc-stall)'>{span(stall['seconds'])}</div>",
        f"<div>{escape(stall['where'])}</div>",
        f"<div style='overflow-wrap:anywhere'><code>{escape(stall['code'])}</code></div>",
    ]
    conflict = stall["conflict"]
    if conflict:
        name, title = history["settings"]["lessons"].get(conflict, ("", ""))
        link = f"<br><a href='{name}.ipynb'>{escape(title)}</a>" if name else ""
        rows.append(f"<div style='margin-top:4px'>{escape(conflict)}{link}</div>")
    picture = (
        "<div style='box-sizing:border-box;min-height:138px;padding:6px 0 0 12px;"
        f"border-left:3px solid var(--lc-stall)'>{''.join(rows)}</div>"
    )
    words = (
        "The line that held the loop, read from its stack while it held it; the conflict it looks "
        "like; the lesson that treats it."
    )
    return "Named", picture, words


def _axes(start: float, end: float, ticks: Sequence[tuple[float, float]], block: str = "") -> str:
    drawn = []
    for power in (-3, -2, -1, 0, 1):
        y = _y(10.0**power)
        label = f"{10**power} s" if power >= 0 else f"{10 ** (power + 3)} ms"
        drawn.append(
            f"<path class='lc-grid' d='M{_LEFT} {y:.1f} H{_WIDTH}'/>"
            f"<text x='{_LEFT - 6}' y='{y + 4:.1f}' text-anchor='end' "
            f"style='font-size:10.5px'>{label}</text>"
        )
    path, before = "", None
    for at, lag in ticks:
        joined = before is not None and at - before < 0.5  # a stall lies between
        path += f"{'L' if joined else 'M'}{_x(at, start, end):.1f} {_y(lag):.1f} "
        before = at
    line = f"<path d='{path}' class='lc-lag'/>"
    return (
        f"<svg class='lc-chart' viewBox='0 0 {_WIDTH:.0f} {_HEIGHT - 18:.0f}' aria-hidden='true'>{''.join(drawn)}"
        f"{block}{line}</svg>"
    )


def _x(at: float, start: float, end: float) -> float:
    return _LEFT + (at - start) / (end - start) * (_WIDTH - _LEFT)


def _y(seconds: float) -> float:
    share = log10(min(max(seconds, _LOW), _HIGH) / _LOW) / log10(_HIGH / _LOW)
    return _FLOOR - share * (_FLOOR - _TOP)
