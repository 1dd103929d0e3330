"""Reads what the rehearsal found: the reasons why a lab does not keep its contract yet."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.leftovers import leftovers
from loopclinic.lessons.lesson import Trial
from loopclinic.lessons.ranking import ranked
from loopclinic.lessons.stalls import blocked_on_line
from loopclinic.lessons.sync_database import LESSON
from loopclinic.lessons.sync_database.promises import endings, openings, results
from loopclinic.lessons.sync_database.wording import meanwhile
from loopclinic.lessons.wording import at, code_of, span
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["LEFTOVERS_JUDGED", "judge", "praise"]

LEFTOVERS_JUDGED = ("tasks",)
"""A pool that is not closed has tasks of its own: one reason is enough."""

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets
_STEPS = ("line", "crowd", "family", "cancelled", "failing")
_DRY = {"PoolTimeout", "TooManyRequests"}
"""Errors by which a pool says that it has nothing left."""


def judge(trial: Trial) -> list[Reason]:
    """Return the reasons, the root first; none means that the lab keeps its contract."""
    facts = trial.facts
    opening = list(openings(facts, _STEPS))
    if opening:
        return opening
    stalls = blocked_on_line(
        facts["line"],
        _BUDGETS["stall"],
        calls="two audits",
        next_step="Use a driver that awaits (asyncpg, psycopg's AsyncConnection), or a thread.",
    )
    loop = [*_hangs(facts), *stalls]
    starved = list(_starved(facts))
    reasons = [
        *loop,
        *(starved if not any(one.conflict == "pool-starvation" for one in loop) else ()),
        *_connections(facts),
        *_threads(facts, blocked=bool(loop)),
        *results(facts, blocked=bool(loop or starved)),
        *endings(facts, _STEPS),
    ]
    if not any(one.conflict == "unclosed-resource" for one in reasons):
        reasons += leftovers(facts)
    return ranked(reasons)


def praise(trial: Trial) -> str:
    """Return the sentence for a pass."""
    crowd, storing = trial.facts["crowd"], trial.facts["cancelled"]["storing"]
    slowest = max(ending["seconds"] for ending in storing["endings"])
    return (
        f"{crowd['audits']} audits shared {crowd['peak']} connections and all got to ask; with the "
        f"database held up, others had a thread within {span(crowd['thread'])}. Cancelled while it "
        f"stored, an audit ended within {span(slowest)} and left nothing at PostgreSQL."
    )


# The loop itself.


def _hangs(facts: Facts) -> Iterator[Reason]:
    """Calls that had to be broken off; one reason for each kind."""
    told: set[str] = set()
    for name in ("crowd", "family", "cancelled", "failing"):
        stuck = facts.get(name, {}).get("stuck")
        if stuck is None:
            continue
        conflict = stuck["conflict"] or "blocking-db"
        if conflict in told:
            continue
        told.add(conflict)
        common: dict[str, Any] = {
            "conflict": conflict,
            "measured": f"stopped for {span(stuck['seconds'])}, and then broken off",
            "budget": "no wait on the loop",
            **at(stuck),
        }
        seen = meanwhile(stuck["sessions"])
        if conflict == "pool-starvation":
            yield Reason(
                f"{code_of(stuck)} waited on the loop for a connection, and those who had them all "
                f"could not give one back: they need the loop.{seen} It would never have ended.",
                **common,
                next_step="Await the connection, or get it on the thread that uses it.",
            )
        elif any(one["blocked_by"] for one in stuck["sessions"]):
            yield Reason(
                f"{code_of(stuck)} waited on the loop for a row that another task of the same loop "
                f"had locked.{seen} That is no deadlock to PostgreSQL, so it would never have ended.",
                **common,
                next_step="Await the query, and hold no lock while you wait for somebody else.",
            )
        else:
            yield Reason(
                f"{code_of(stuck)} stopped the loop.{seen}",
                **common,
                timed=True,
                next_step="Await what takes its time, or do it on a thread of your own.",
            )


# Connections and threads.


def _starved(facts: Facts) -> Iterator[Reason]:
    crowd = facts["crowd"]
    raised = [one for one in crowd["endings"] if one["how"] == "raised"]
    dry = next((one for one in raised if _DRY & set(one["error"])), None)
    if dry is None and (raised or crowd["asking"] == crowd["audits"]):
        return
    if crowd["stuck"] is not None:
        return
    told = f" One gave up: {dry['message']}." if dry else ""
    yield Reason(
        f"Of {crowd['audits']} audits, {crowd['asking']} got to ask; the others had no connection "
        f"left.{meanwhile(crowd['holding'])}{told} What is slow holds what is scarce.",
        conflict="pool-starvation",
        measured=f"{crowd['asking']} of {crowd['audits']} asked",
        budget="all of them",
        **at(crowd["waits_at"] or (dry or {}).get("place")),
        next_step="Give the connection back before you ask, and take one again to store.",
    )


def _connections(facts: Facts) -> Iterator[Reason]:
    crowd = facts["crowd"]
    size, most, all_of_them = crowd["size"], _BUDGETS["connections"], _BUDGETS["sessions"]
    if crowd["stuck"] is not None:
        return
    if crowd["peak"] > most.limit * size:
        yield Reason(
            f"PostgreSQL saw {count(crowd['peak'], 'connection')} at once, where `size` is {size}, and "
            f"{crowd['sessions']} in all for {crowd['audits']} audits.",
            conflict="unbounded-gather",
            measured=f"{crowd['peak'] / size:.1f} x size",
            budget=str(most),
            **at(crowd.get("storing_at") or crowd["waits_at"]),
            next_step="Make one pool in __aenter__, with max_size=size, for all audits.",
        )
    elif crowd["sessions"] > all_of_them.limit * size:
        yield Reason(
            f"PostgreSQL saw {crowd['sessions']} connections in all for {crowd['audits']} audits: "
            "they are opened and thrown away.",
            measured=f"{crowd['sessions'] / size:.1f} x size",
            budget=str(all_of_them),
            **at(crowd.get("storing_at") or crowd["waits_at"]),
            next_step="Make one pool in __aenter__, and take its connections again and again.",
        )
    elif crowd["asking"] == crowd["audits"] and crowd["most_active"] < size / 2:
        if any(one["how"] == "raised" for one in crowd["endings"]):
            return  # it broke before it could be slow: `results` says so
        yield Reason(
            f"{crowd['audits']} audits had work for the database, and {crowd['most_active']} of "
            f"{size} connections were at it: the others waited in vain.",
            conflict="sequential-awaits",
            measured=f"{crowd['most_active']} at once",
            budget=f"{size} at once",
            **at(crowd.get("storing_at")),
            next_step="Give each unit of work a connection of its own, from a pool of `size`.",
        )


def _threads(facts: Facts, *, blocked: bool) -> Iterator[Reason]:
    crowd, budget = facts["crowd"], _BUDGETS["thread"]
    waited = crowd.get("thread")
    if blocked or waited is None or waited <= budget.limit:
        return
    yield Reason(
        f"While the database kept {crowd['audits']} audits waiting, others waited for a thread: "
        f"asyncio.to_thread, which all share, had none for {span(waited)}.",
        conflict="executor-saturation",
        measured=span(waited),
        budget=span(budget.limit),
        **at(crowd.get("storing_at")),
        timed=True,
        next_step="Use an executor of your own, ThreadPoolExecutor(size), or a driver that awaits.",
    )
