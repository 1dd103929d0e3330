"""Stalls of a lab's own making: where they stood, and what they say of a slow line to a database."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.lesson import Budget
from loopclinic.lessons.whereabouts import learners
from loopclinic.lessons.wording import at, code_of, span
from loopclinic.probe import Frame, Stall
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["LOOP", "blocked_on_line", "on_the_loop", "stalled_by", "waits_on_line"]

Facts = Mapping[str, Any]

LOOP = "_run_once"
"""The loop's own function, which calls all others that run on it."""
_CERTAIN = 3
"""Round trips in all from which waits on the loop can't be the machine's doing."""
_OTHERS = ("cpu-bound", "pool-starvation")
"""A thread that wanted to compute waited for a processor, one that wants a connection for the pool."""


def on_the_loop(stall: Stall) -> tuple[Frame, ...]:
    """Return the frames that the loop had called, outermost first."""
    functions = [frame.function for frame in stall.stack]
    start = len(functions) - functions[::-1].index(LOOP) if LOOP in functions else 0
    return stall.stack[start:]


def stalled_by(stall: Stall) -> dict[str, Any] | None:
    """Return what a reason needs of a stall of the lab's: its innermost line, how long, which conflict."""
    inside = [frame for frame in on_the_loop(stall) if learners(frame.file)]
    if not inside:
        return None
    frame = inside[-1]
    return {
        "file": frame.file,
        "line": frame.line,
        "code": frame.code,
        "seconds": stall.seconds,
        "conflict": stall.conflict,
    }


def waits_on_line(found: Facts, budget: Budget) -> list[Facts]:
    """Return the stalls of a step on a slow line that waited for it.

    None where they are so few that they may be the machine's stumbles: a driver that blocks does it
    at every query. `found` has `line` (seconds there and back) and `stalls`.
    """
    line = found["line"]
    waits = [
        one
        for one in found["stalls"]
        if one["seconds"] > budget.limit * line and one["conflict"] not in _OTHERS
    ]
    return waits if sum(one["seconds"] for one in waits) >= _CERTAIN * line else []


def blocked_on_line(
    found: Facts, budget: Budget, *, calls: str, next_step: str
) -> Iterator[Reason]:
    """Judge waits for the database on the loop; at most one reason. `calls` says who was at work."""
    waits = waits_on_line(found, budget)
    if not waits:
        return
    line = found["line"]
    worst = max(waits, key=lambda one: float(one["seconds"]))
    yield Reason(
        f"On a line that takes {span(line)} there and back, {code_of(worst)} stopped the loop for "
        f"{span(worst['seconds'])}: {calls} stopped it {count(len(waits), 'time')} and kept it busy "
        f"{found['busy'] or 0:.0%} of the time.",
        conflict=worst["conflict"] or "blocking-db",
        measured=f"{worst['seconds'] / line:.1f} x the line there and back",
        budget=str(budget),
        **at(worst),
        next_step=next_step,
    )
