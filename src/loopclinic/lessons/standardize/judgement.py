"""Reads what the rehearsal found: the reasons why a lab does not keep its contract yet."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.lesson import Trial
from loopclinic.lessons.ranking import ranked
from loopclinic.lessons.stalls import blocked_on_line
from loopclinic.lessons.standardize import LESSON
from loopclinic.lessons.standardize.desk_reasons import scan_reasons, suite_reasons
from loopclinic.lessons.standardize.promises import cancels, closings, results
from loopclinic.lessons.standardize.refusal_reasons import refusals
from loopclinic.lessons.wording import at, ended, overdue, span
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["LEFTOVERS_JUDGED", "judge", "praise"]

LEFTOVERS_JUDGED = ("tasks",)
"""A pool that is not closed has tasks of its own: one reason is enough."""

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets
_STEPS = ("line", "crowd", "race", "cancelled", "gone", "refused")


def judge(trial: Trial) -> list[Reason]:
    """Return the reasons, the root first; none means that the lab keeps its contract."""
    facts = trial.facts
    opening = next(
        (facts[one]["opening"] for one in _STEPS if facts.get(one, {}).get("opening")), None
    )
    desk = [*suite_reasons(facts["suite"]), *scan_reasons(facts["scan"])]
    if opening is not None:
        return ranked([*_unopened(opening), *desk])
    loop = list(
        blocked_on_line(
            facts["line"],
            _BUDGETS["stall"],
            calls="five calls, one after another,",
            next_step="Use a driver that awaits (psycopg's AsyncConnectionPool, asyncpg), all the way up.",
        )
    )
    pool = [*_starved(facts.get("crowd", {})), *_threads(facts.get("crowd", {}))]
    measured = [
        *loop,
        *pool,
        *_connections(facts.get("crowd", {})),
        *results(facts, blocked=bool(loop), starved=bool(pool)),
        *cancels(facts.get("cancelled", {})),
        *refusals(facts),
        *closings(facts, _STEPS),
    ]
    known = {one.conflict for one in measured}
    # What was measured says more than what was read in the source, of the same conflict.
    return ranked(
        [*measured, *(one for one in desk if one.conflict is None or one.conflict not in known)]
    )


def praise(trial: Trial) -> str:
    """Return the sentence for a pass."""
    crowd, suite = trial.facts["crowd"], trial.facts["suite"]["runs"]
    slowest = max(one["seconds"] for one in trial.facts["cancelled"]["issue"]["endings"])
    return (
        f"{crowd['charges']} charges shared {crowd['peak']} connections and all got to ask the "
        f"gateway. Cancelled while it stored, an invoice was gone within {span(slowest)}. Your "
        f"{count(suite['']['tests'], 'test')} caught {count(len(suite) - 1, 'broken service')}, and "
        "the scanner found nothing."
    )


def _unopened(ending: Mapping[str, Any]) -> Iterator[Reason]:
    yield Reason(
        f"`async with open_billing(dsn, gateway, size=...)` gave no service: it {ended(ending)}.",
        **at(ending.get("place")),
        timed=overdue(ending),
        next_step="Let it open the pool and give a BillingService; all other steps need one.",
    )


def _starved(found: Facts) -> Iterator[Reason]:
    """Charges that hold what others need while they ask."""
    if any(one["how"] != "returned" for one in found.get("issued", ())):
        return
    if "asking" not in found or (found["asking"] >= found["charges"] and not found["holding"]):
        return
    if found["asking"] < found["charges"]:
        seen = (
            f"Only {found['asking']} of {found['charges']} charges got to ask the gateway, with "
            f"{count(found['size'], 'connection')}"
        )
    else:
        seen = f"While {count(found['charges'], 'charge')} asked the gateway"
    yield Reason(
        f"{seen}: PostgreSQL saw {count(found['holding'], 'transaction')} open.",
        conflict="pool-starvation" if found["holding"] else "sequential-awaits",
        measured=count(found["holding"], "open transaction"),
        budget="0 while the gateway is asked",
        **at(found["waits_at"]),
        next_step="Read and give the connection back, ask, then take one again and book.",
    )


def _threads(found: Facts) -> Iterator[Reason]:
    budget = _BUDGETS["thread"]
    if found.get("thread", 0.0) > budget.limit:
        yield Reason(
            "While charges waited for the database, others who asked for asyncio.to_thread waited "
            f"{span(found['thread'])} for a thread.",
            conflict="executor-saturation",
            measured=span(found["thread"]),
            budget=span(budget.limit),
            **at(found["booking_at"]),
            timed=True,
            next_step="Await the database, or give it an executor of its own, as large as the pool.",
        )
    elif found.get("thread") is not None and found["most_active"] < 2:  # noqa: PLR2004 - one at a time
        yield Reason(
            f"Of {count(found['charges'], 'charge')} that had work for the database, one at a time "
            "was at it.",
            conflict="sequential-awaits",
            measured="1 connection at work",
            budget=f"up to {found['size']}",
            **at(found["booking_at"]),
            next_step="Let each call take a connection of its own; no lock around them all.",
        )


def _connections(found: Facts) -> Iterator[Reason]:
    if found and found["peak"] > found["size"]:
        yield Reason(
            f"PostgreSQL saw {found['peak']} connections at one moment; size was {found['size']}.",
            conflict="unbounded-gather",
            measured=count(found["peak"], "connection"),
            budget=count(found["size"], "connection"),
            next_step="Open one pool in open_billing, and take every connection from it.",
        )
