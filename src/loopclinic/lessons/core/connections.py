"""Findings and verdicts about what a lab does to PostgreSQL: its service, hangs, connections, threads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loopclinic.lessons.core.findings import Ending, Place, Stall
from loopclinic.lessons.core.scene import Kept
from loopclinic.lessons.core.verdicts import at
from loopclinic.lessons.lesson import Budget
from loopclinic.lessons.wording import span
from loopclinic.servers.postgres_sessions import Session
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = [
    "Served",
    "Stuck",
    "blocked_on_line",
    "closed",
    "hung",
    "meanwhile",
    "saturated",
]

_CERTAIN = 3
"""Round trips in all from which waits on the loop can't be the machine's doing."""
_OTHERS = ("cpu-bound", "pool-starvation")
"""A thread that wanted to compute waited for a processor, one that wants a connection for the pool."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """A call that kept the loop until it was broken off, and the lab's sessions meanwhile."""

    stall: Stall
    sessions: list[Session]


@dataclass(frozen=True, slots=True)
class Served:
    """How the lab's service fared and closed in one scene."""

    closing: Ending | None = None
    """How its closing ended; None where it closed."""
    left: int = 0
    """Connections that it left."""
    stuck: Stuck | None = None
    """The first call that was broken off."""
    opening: Ending | None = None
    """How its opening ended; None where it opened."""


def meanwhile(sessions: Sequence[Session]) -> str:
    """Return what PostgreSQL saw of a lab's sessions, as a sentence; empty if there were none."""
    waiting = sum(one.waits_for_lock for one in sessions)
    idle = sum(one.state.startswith("idle in transaction") for one in sessions)
    working = sum(one.state == "active" for one in sessions) - waiting
    rest = len(sessions) - waiting - idle - working
    parts = [
        f"{number} {what}"
        for number, what in (
            (idle, "idle in transaction"),
            (waiting, "waiting for a lock"),
            (working, "at work"),
            (rest, "idle"),
        )
        if number
    ]
    if not parts:
        return ""
    return f" PostgreSQL saw {count(len(sessions), 'session')}: {', '.join(parts)}."


# Verdicts.


def closed(
    found: Served, what: str, closer: str, *, promise: int, place: Place | None = None
) -> Iterator[Reason | Kept]:
    """Judge the end of a service's `async with`; `what` opens it, `closer` is what closes it.

    `place` is where to look if nothing better is known.
    """
    common: dict[str, Any] = {
        "conflict": "unclosed-resource",
        "promise": promise,
        "next_step": f"Close the pool in {closer}, and await that.",
    }
    if found.closing is not None:
        yield Reason(
            f"At the end of `async with {what}`, it {found.closing}.",
            **at(found.closing.place or place),
            timed=found.closing.overdue,
            **common,
        )
    elif found.left:
        yield Reason(
            f"At the end of `async with {what}`, {count(found.left, 'connection')} stayed open.",
            measured=count(found.left, "connection"),
            budget="0 connections",
            **at(place),
            **common,
        )
    else:
        yield Kept(promise)


def hung(stuck: Stuck, *, promise: int) -> Reason:
    """Return the reason for a call that had to be broken off: a dry pool, a locked row, or another wait."""
    stall, sessions = stuck.stall, stuck.sessions
    conflict = stall.conflict or "blocking-db"
    code = f"`{stall.place.code}`" if stall.place.code else "something"
    seen, timed = meanwhile(sessions), False
    if conflict == "pool-starvation":
        said = (
            f"{code} waited on the loop for a connection, and those who had them all could not give "
            f"one back: they need the loop.{seen} It would never have ended."
        )
        step = "Await the connection, or get it on the thread that uses it."
    elif any(one.blocked_by for one in sessions):
        said = (
            f"{code} waited on the loop for a row that another task of the same loop had locked.{seen} "
            "That is no deadlock to PostgreSQL, so it would never have ended."
        )
        step = "Await the query, and hold no lock while you wait for somebody else."
    else:
        said, timed = f"{code} stopped the loop.{seen}", True
        step = "Await what takes its time, or do it on a thread of your own."
    return Reason(
        said,
        conflict=conflict,
        measured=f"stopped for {span(stall.seconds)}, and then broken off",
        budget="no wait on the loop",
        **at(stall.place),
        promise=promise,
        timed=timed,
        next_step=step,
    )


def blocked_on_line(
    stalls: Sequence[Stall],
    line: float,
    budget: Budget,
    busy: float,
    calls: str,
    *,
    promise: int,
    next_step: str,
) -> Iterator[Reason | Kept]:
    """Judge waits on the loop for a slow line, which takes `line` seconds there and back.

    A few may be the machine's stumbles: a driver that blocks does it at every query. `calls` says what
    was at work, `busy` is the loop's share of busy time.
    """
    waits = [
        one for one in stalls if one.seconds > budget.limit * line and one.conflict not in _OTHERS
    ]
    if sum(one.seconds for one in waits) < _CERTAIN * line:
        yield Kept(promise)
        return
    worst = max(waits, key=lambda one: one.seconds)
    code = f"`{worst.place.code}`" if worst.place.code else "something"
    yield Reason(
        f"On a line that takes {span(line)} there and back, {code} stopped the loop for "
        f"{span(worst.seconds)}: {calls} stopped it {count(len(waits), 'time')} and kept it busy "
        f"{busy:.0%} of the time.",
        conflict=worst.conflict or "blocking-db",
        measured=f"{worst.seconds / line:.1f} x the line there and back",
        budget=str(budget),
        **at(worst.place),
        promise=promise,
        next_step=next_step,
    )


def saturated(
    waited: float,
    budget: Budget,
    while_: str,
    place: Place | None,
    *,
    promise: int,
    next_step: str = "Use an executor of your own, ThreadPoolExecutor(size), or a driver that awaits.",
) -> Iterator[Reason | Kept]:
    """Judge how long others waited for a thread of the default executor."""
    if waited <= budget.limit:
        yield Kept(promise)
        return
    yield Reason(
        f"While {while_}, others waited for a thread: asyncio.to_thread, which all share, had none for "
        f"{span(waited)}.",
        conflict="executor-saturation",
        measured=span(waited),
        budget=span(budget.limit),
        **at(place),
        promise=promise,
        timed=True,
        next_step=next_step,
    )
