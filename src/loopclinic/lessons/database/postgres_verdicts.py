"""Findings and verdicts about what a lab does to PostgreSQL: its service, hangs, connections, threads."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loopclinic.lessons.core.scene import Budget, Kept
from loopclinic.lessons.core.shared_findings import Ending, Place, Stall
from loopclinic.lessons.core.verdicts import broke, left_at_work, none_of, swallowed
from loopclinic.lessons.database.sessions import Session
from loopclinic.units import count, span
from loopclinic.verdict import Reason

LINE = 0.08
"""Seconds there and back of a slow line to the database."""
STALL = Budget(
    0.5,
    "x the line there and back",
    "A right answer never stops the loop for the database; one that waits there: a trip a statement.",
)
THREAD = Budget(
    0.25,
    "s",
    "A thread that is free is there in a millisecond; else it takes what the database takes.",
)
CONNECTIONS = Budget(1.0, "x size", "Counted at PostgreSQL: sessions at one moment.")
AT_WORK = Budget(0.5, "x size", "Statements under way at one moment. A right answer reaches 1.")

_CERTAIN = 3
"""Round trips in all from which waits on the loop can't be the machine's doing."""
_AWAITS = re.compile(r"\b(async|await)\b")
"""A line at which the loop's thread only waits for the GIL or a processor, unless a probe named the wait."""
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
    tasks: int = 0
    """Tasks that went on when it had closed."""
    place: Place | None = None
    """Where one of them waits, else where the service is closed, or opened."""
    by_error: bool = False
    """Whether an error left its `async with`."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Calls that all should ask somebody slow at the same time."""

    asking: int
    holding: list[Session]
    """Sessions that have a transaction open meanwhile."""
    place: Place | None
    """Where a call waits."""
    in_pool: bool
    """Whether one that does not ask waits in a pool for a connection."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Some calls that were cancelled, and what PostgreSQL had of them when they had ended."""

    endings: list[Ending]
    open: list[Session]
    """Sessions that still had a transaction after `seconds`."""
    seconds: float
    place: Place | None
    """Where one waited when it was cancelled."""
    stored: int = 0
    """What was stored all the same, later."""


def meanwhile(sessions: Sequence[Session]) -> str:
    """Return what PostgreSQL saw of a lab's sessions, as a sentence; empty if there were none."""

    def doing(one: Session) -> str:
        if one.state == "active":
            return "waiting for a lock" if one.waits_for_lock else "at work"
        return "idle in transaction" if one.state.startswith("idle in transaction") else "idle"

    seen = Counter(map(doing, sessions))
    kinds = ("idle in transaction", "waiting for a lock", "at work", "idle")
    parts = [f"{seen[kind]} {kind}" for kind in kinds if seen[kind]]
    if not parts:
        return ""
    return f" PostgreSQL saw {count(len(sessions), 'session')}: {', '.join(parts)}."


# Verdicts.


def closed(found: Served, what: str, closer: str, *, promise: int) -> Iterator[Reason | Kept]:
    """Judge the end of a service's `async with`; `what` opens it, `closer` is what closes it."""
    by = "which an error left, " if found.by_error else ""
    said, place, more = f"At the end of `async with {what}`, {by}", found.place, dict[str, Any]()
    if (ending := found.closing) is not None:
        said, place, more = f"{said}it {ending}.", ending.place or place, {"timed": ending.overdue}
    elif found.left:
        said += f"{count(found.left, 'connection')} stayed open."
        more = none_of(found.left, "connection")
    elif found.tasks:
        said += f"{count(found.tasks, 'task')} kept running."
        yield left_at_work(said, found.tasks, place, promise=promise)
        return
    else:
        yield Kept(promise)
        return
    step = f"Close the pool in {closer}, and await that."
    yield broke(promise, said, step, place, conflict="unclosed-resource", **more)


def hung(stuck: Stuck, *, promise: int) -> Reason:
    """Return the reason for a call that had to be broken off: a dry pool, a locked row, or another wait."""
    stall, sessions = stuck.stall, stuck.sessions
    conflict = stall.conflict or "blocking-db"
    code, seen, timed = stall.place.quoted, meanwhile(sessions), False
    if conflict == "pool-starvation":
        said = f"{code} waited on the loop for a connection, and those who had them all "
        said += f"could not give one back: they need the loop.{seen} It would never have ended."
        step = "Await the connection, or get it on the thread that uses it."
    elif any(one.blocked_by for one in sessions):
        said = f"{code} waited on the loop for a row that another task of the same loop had "
        said += f"locked.{seen} That is no deadlock to PostgreSQL, so it would never have ended."
        step = "Await the query, and hold no lock while you wait for somebody else."
    else:
        said, timed = f"{code} stopped the loop.{seen}", True
        step = "Await what takes its time, or do it on a thread of your own."
    measured = f"stopped for {span(stall.seconds)}, and then broken off"
    more = {"conflict": conflict, "measured": measured, "budget": "no wait on the loop"}
    return broke(promise, said, step, stall.place, timed=timed, **more)


def blocked_on_line(
    stalls: Sequence[Stall], busy: float, calls: str, *, promise: int, next_step: str
) -> Iterator[Reason | Kept]:
    """Judge waits on the loop for a line that takes `LINE` seconds there and back.

    A few may be the machine's stumbles: a driver that blocks does it at every query. `calls` says what
    was at work, `busy` is the loop's share of busy time.
    """
    waits = [
        one
        for one in stalls
        if one.seconds > STALL.limit * LINE and one.conflict not in _OTHERS
        if one.conflict not in (None, "blocking-sync-primitive")
        or not _AWAITS.search(one.place.code)
    ]
    if sum(one.seconds for one in waits) < _CERTAIN * LINE:
        yield Kept(promise)
        return
    worst = max(waits, key=lambda one: one.seconds)
    said = f"With a round trip of {span(LINE)} to the database, {worst.place.quoted} "
    said += f"stopped the loop for {span(worst.seconds)}: {calls} stopped "
    said += f"it {count(len(waits), 'time')} and kept it busy {busy:.0%} of the time."
    measured = f"{worst.seconds / LINE:.1f} x the line there and back"
    more = {"measured": measured, "budget": str(STALL)}
    more["conflict"] = worst.conflict or "blocking-db"
    yield broke(promise, said, next_step, worst.place, **more)


def saturated(
    waited: float, while_: str, place: Place | None, *, promise: int
) -> Iterator[Reason | Kept]:
    """Judge how long others waited for a thread of the default executor."""
    if waited <= THREAD.limit:
        yield Kept(promise)
        return
    said = f"While {while_}, others waited for a thread: asyncio.to_thread, which everybody shares, had no thread for "
    said += f"{span(waited)}."
    step = "Use an executor of your own, ThreadPoolExecutor(size), or a driver that awaits."
    more = {"measured": span(waited), "budget": span(THREAD.limit)}
    yield broke(promise, said, step, place, conflict="executor-saturation", timed=True, **more)


def starved(
    found: Gathered,
    many: int,
    who: str,
    *,
    promise: int,
    asked: str = "got to ask",
    dry: Ending | None = None,
    next_step: str,
) -> Iterator[Reason | Kept]:
    """Judge whether all of so many calls got to ask, and held no transaction meanwhile.

    `dry` is one that gave up since its pool had no connection left.
    """
    all_ask, seen = found.asking >= many and dry is None, meanwhile(found.holding)
    if all_ask and not found.holding:
        yield Kept(promise)
        return
    more = {"measured": f"{found.asking} of {many} asked", "budget": "all of them"}
    conflict, root = "pool-starvation", "A slow call holds a connection that others need."
    if all_ask:
        said = f"all {asked}, with transactions open.{seen}"
        more = none_of(len(found.holding), "open transaction")
    elif dry is not None or found.holding or found.in_pool:
        told = f" One gave up: {dry.message}." if dry is not None else ""
        said = f"{found.asking} {asked}; the others had no connection left.{seen}{told}"
    else:
        conflict, said = "sequential-awaits", f"{found.asking} {asked}."
        root = "PostgreSQL saw no transaction open: the others waited for something of your own."
        next_step = "Hold nothing while you ask: limit what has a connection, which the pool does."
    place = found.place or (dry.place if dry else None)
    yield broke(promise, f"{who}, {said} {root}", next_step, place, conflict=conflict, **more)


def too_many(
    most: int, size: int, place: Place | None, *, promise: int, next_step: str, also: str = ""
) -> Iterator[Reason]:
    """Judge how many connections there were at one moment; `also` ends the sentence."""
    if most > CONNECTIONS.limit * size:
        said = f"PostgreSQL saw {count(most, 'connection')} at once, where `size` is {size}{also}."
        more = {"measured": f"{most / size:.1f} x size", "budget": str(CONNECTIONS)}
        yield broke(promise, said, next_step, place, conflict="too-many-connections", **more)


def few_at_work(
    active: int, size: int, calls: str, place: Place | None, *, promise: int
) -> Iterator[Reason]:
    """Judge how many connections were at work at one moment when so many calls had work for them."""
    least = AT_WORK.limit * size
    if active < least:
        said = f"{calls} had work for the database, and {active} of {size} connections were in use: the "
        said += "others sat idle."
        step = "Give each unit of work a connection of its own, from a pool of `size`."
        more = {"measured": f"{active} at once", "budget": f"at least {least:g} of {size} at once"}
        yield broke(promise, said, step, place, conflict="sequential-awaits", **more)


def forgotten_when_cancelled(
    found: Cancel, budget: Budget, who: str, unit: str, *, promise: int
) -> Iterator[Reason]:
    """Judge calls that were cancelled: each ends, its transaction with it, and stores no `unit`.

    `who` says which, and when: "An audit was cancelled while it asked".
    """
    if any(one.how == "broken-off" for one in found.endings):
        return  # by itself, and not by being cancelled
    place, limit = found.place, budget.limit
    went_on = (one for one in found.endings if one.how != "cancelled" or one.seconds > limit)
    shield = place is not None and "shield(" in place.code
    why = " `asyncio.shield` keeps its work from being cancelled." * shield
    if (bad := next(went_on, None)) is not None:
        step = "Let CancelledError through: no bare except, no BaseException."
        if bad.seconds > limit:
            step = "End the statement at PostgreSQL, then let CancelledError through."
        yield swallowed(bad, budget, who, place, promise=promise, next_step=step)
        return
    if found.open:
        said = f"{who}, and ended; its transaction did not.{why}{meanwhile(found.open)} Until it does, "
        said += "nobody else gets its locks or its connection."
        step = "Roll back and give the connection back in `finally`, or use the driver's own `async with`; "
        step += "stop a thread's query, too (connection.cancel())."
        conflict, measured = "transaction-left-open", f"open {span(found.seconds)} after the end"
        figures = {"measured": measured, "budget": f"{span(limit)} after the end"}
    elif found.stored:
        said = f"{who}, and ended; its work kept running and was committed later.{why}"
        step = "Cancel the work itself, and wait for its end: a thread goes on when its task is cancelled."
        conflict, figures = "dropped-task", none_of(found.stored, unit)
    else:
        return
    if shield:
        step = "Do without asyncio.shield: let the cancel reach the work, and wait for its end."
    yield broke(promise, said, step, place, conflict=conflict, **figures)


def after_cancels(endings: Sequence[Ending], calls: str, *, promise: int) -> Iterator[Reason]:
    """Judge the calls that followed cancelled ones; at most one reason."""
    for late in [one for one in endings if not one.returned][:1]:
        # One that waits has no connection to work with; one that raised says itself what it lacks.
        how = "found no connection" if late.overdue else "failed"
        said = f"After some {calls} had been cancelled, the next ones {how}: one {late}."
        step = "Give each connection back to the pool, and as it was, whatever ends its work."
        conflict = "unclosed-resource" if late.overdue else None
        yield broke(promise, said, step, late.place, conflict=conflict, timed=late.overdue)
