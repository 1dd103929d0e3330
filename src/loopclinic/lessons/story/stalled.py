"""Sentences about stalls: those that a load caused, and how soon one was named."""

from html import escape

from loopclinic.drawing.tables import Drawing, span
from loopclinic.load.vitals import Vitals
from loopclinic.probe import Stall


def stalled(vitals: Vitals, doing: str, *, last: str) -> Drawing:
    """Draw what a load did to the loop, with the line of the longest stall.

    `doing` continues the sentence that gives the busy share; `last` names what was served last.
    """
    worst = vitals.worst
    line = f" The line: <code>{escape(worst.code)}</code>" if worst and worst.code else ""
    words = (
        f"The loop was busy {vitals.utilization or 0:.0%} of the time{doing}. p99 lag was "
        f"{span(vitals.lag.p99)}; the last {last} waited {span(vitals.latency.max)}."
    )
    return Drawing(f"<p>{words}{line}</p>", words)


def named_after(stall: Stall) -> str:
    """Return in words how soon after its beginning a stall was noticed; empty if only at its end."""
    seen = stall.first_seen
    return "" if seen is None else f", named {span(seen)} after it began"
