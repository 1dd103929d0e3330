"""Explains the picture of a scope on the reader's own worst stall: calm, the stall, and the line that is named."""

from html import escape
from statistics import median
from typing import Any

from loopclinic.drawing.lag_strip import lag_strip
from loopclinic.drawing.tables import Drawing, span
from loopclinic.scope import Scope
from loopclinic.units import duration

_AROUND = 3.0  # seconds shown before and after a stall


def marked(scope: Scope) -> Drawing:
    """Return the picture with its three explanations, or a sentence if nothing has stalled yet."""
    histories = [scope.recorder.history(), *([scope.earlier] if scope.earlier else [])]
    seen = [(one, [s for s in one["stalls"] if not s["cell"]]) for one in histories]
    history, stalls = next((one for one in seen if one[1]), (histories[0], []))
    if not stalls:
        return Drawing.note("Nothing has stalled yet: run the cell with time.sleep, then this one.")
    stall = max(stalls, key=lambda one: one["seconds"])
    began, seconds = stall["started"] - _AROUND, stall["seconds"]
    end = seconds + 2 * _AROUND
    points = [(at - began, lag) for at, lag in history["ticks"] if lag is not None]
    points = [one for one in points if 0 <= one[0] <= end]
    usual = [lag for at, lag in points if not _AROUND <= at <= _AROUND + seconds + 0.2]
    chart = lag_strip(
        points,
        [{**stall, "started": _AROUND}],
        span=(0.0, end),
        title="Lag of this page's loop",
        threshold=history["settings"]["threshold"],
    )
    calm = (
        "The line is lag: how late the loop would be for an event that is ready. Its median here is "
        f"{span(median(usual) if usual else 0.0)}."
    )
    stalled = (
        f"A stall is as wide and as tall as it was long: {duration(seconds)}. Whatever became ready "
        "meanwhile waited for the rest of it. The dashed line is the least that counts as a stall."
    )
    named = (
        "The line that held the loop, read from its stack while it held it; the conflict it looks "
        "like; the lesson that treats it."
    )
    explained = [
        ("Calm", calm, ""),
        ("Stalled", stalled, ""),
        ("Named", named, _line(stall, history)),
    ]
    html = "".join(
        f"<div style='flex:1 1 210px;min-width:0'><b>{number}. {title}</b>"
        f"<div class='lc-muted'>{escape(words)}</div>{more}</div>"
        for number, (title, words, more) in enumerate(explained, start=1)
    )
    text = "\n".join(f"{n}. {title}: {words}" for n, (title, words, _) in enumerate(explained, 1))
    return Drawing(
        f"{chart}<div style='display:flex;flex-wrap:wrap;gap:8px 24px'>{html}</div>", text
    )


def _line(stall: dict[str, Any], history: dict[str, Any]) -> str:
    name, title = history["settings"]["lessons"].get(stall["conflict"], ("", ""))
    link = f": <a href='{name}.ipynb'>{escape(title)}</a>" if name else ""
    conflict = f"<div>{escape(stall['conflict'])}{link}</div>" if stall["conflict"] else ""
    return f"<div>{escape(stall['where'])} <code>{escape(stall['code'])}</code></div>{conflict}"
