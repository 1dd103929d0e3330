"""What a lab promises of a database that stands still and of SIGTERM, set against what was found."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.flask_bridge import LESSON
from loopclinic.lessons.flask_bridge.errors import failed, root
from loopclinic.lessons.flask_bridge.wording import refusals
from loopclinic.lessons.wording import at, span
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["FEW", "end", "standstill"]

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets
FEW = 0.25
"""Share of webhooks that a stumble of the machine's may have answered 503, twice over."""


# The database stands still.


def standstill(still: Facts) -> Iterator[Reason]:
    """Judge the answers of a database that stands still, what they leave behind, and what follows."""
    timeout = still["timeout"]
    late, piled = _BUDGETS["late"], _BUDGETS["piled_up"]
    if not still["early"]:
        # What is answered at once is no standstill: how many connections came until then is luck.
        yield from _connections(still)
    if still["unanswered"]:
        yield Reason(
            f"With the database at a standstill, {count(still['unanswered'], 'webhook')} had no answer "
            f"after {span(still['seconds'])}: as many as there are threads, so the server answers nobody.",
            conflict="missing-deadline",
            measured=f"over {still['seconds'] / timeout:.0f} x timeout",
            budget=str(late),
            **at(still["waits_at"]),
            timed=True,
            next_step="Put asyncio.timeout(timeout) around the work, and answer TimeoutError by 503.",
        )
        return
    others = {k: n for k, n in still["answered"].items() if k not in ("503", "204")}
    if others:
        error = root(still["errors"])
        yield Reason(
            f"With the database at a standstill, webhooks were answered {refusals(others)} instead of "
            f"503.{' ' + error['message'] if error else ''}",
            **at((error or {}).get("place")),
            next_step="Answer 503 when the deadline passes: the provider comes again.",
        )
    left = still["left"] / (still["wave"] * still["waves"])
    if left > piled.limit and not still["early"]:
        yield Reason(
            f"{still['wave'] * still['waves']} webhooks were answered 503, and {still['left']} tasks and threads went "
            "on with them: with every redelivery there are more.",
            conflict="unbounded-gather",
            measured=f"{left:.1f} left behind for each 503",
            budget=str(piled),
            **at(still["waits_at"]),
            next_step="End the work at the deadline, not only the wait: asyncio.timeout inside of it, "
            "or future.cancel().",
        )
    if still["early"]:
        return  # what was answered too early is told by what SIGTERM does to it
    if sum(still["refused"].values()) > FEW * still["wave"] * still["waves"] or still["missing"]:
        error = root(still["errors"])
        yield failed(
            "The database was back, and the same webhooks were answered "
            f"{refusals(still['refused'])}.".replace("answered .", "not all stored."),
            error,
            None,
        )
    elif still["miscounted"]:
        yield Reason(
            "A webhook that was answered 503 and came again was counted twice.",
            measured=count(still["miscounted"], "message"),
            budget="0 messages",
            next_step="Leave it to `record`: it counts an update once.",
        )


def _connections(still: Facts) -> Iterator[Reason]:
    """Judge how many connections there were, and how many of them were at work; one reason at most."""
    size = still["size"]
    if still["sessions"] > _BUDGETS["connections"].limit * size:
        yield Reason(
            f"PostgreSQL saw {count(still['sessions'], 'connection')} at once, where `size` is {size}.",
            conflict="unbounded-gather",
            measured=f"{still['sessions'] / size:.1f} x size",
            budget=str(_BUDGETS["connections"]),
            **at(still["waits_at"]),
            next_step="Make one pool in __init__, with max_size=size, for all webhooks.",
        )
    elif still["waiting"] <= size / 2:
        yield Reason(
            f"With {still['wave']} webhooks to be stored, {still['waiting']} of {size} connections had one: "
            "the bridge takes them one after another.",
            conflict="sequential-awaits",
            measured=f"{still['waiting']} at once",
            budget=f"{size} at once",
            **at(still["waits_at"]),
            timed=True,
            next_step="Start each webhook's work at once; the pool keeps them to `size`.",
        )


# SIGTERM.


def end(found: Facts, still: Facts, *, blocked: bool) -> Iterator[Reason]:
    """Judge SIGTERM in the middle of the load. `blocked`: it is told already why webhooks fail."""
    budget = _BUDGETS["lost"]
    if found["lost"] > budget.limit:
        yield Reason(
            f"At SIGTERM, {found['lost']} of {found['promised']} updates were lost: answered 204, and in no "
            "table. The provider will not come again.",
            conflict="dropped-task",
            measured=count(found["lost"], "update"),
            budget="0 updates",
            **at(found["waits_at"]),
            next_step="Answer once the update is stored; whoever waits for it keeps it.",
        )
    elif still["early"]:
        yield Reason(
            f"With the database at a standstill, {still['early']} webhooks were answered 204: nothing "
            "was stored, and only this process knew of them.",
            conflict="dropped-task",
            measured=count(still["early"], "answer"),
            budget="0 answers",
            next_step="Answer once the update is stored.",
        )
    if blocked:
        return
    if found["late"]:
        yield Reason(
            f"`close()` was not over {span(found['grace'])} after SIGTERM.",
            conflict="missing-deadline",
            measured=f"over {span(found['grace'])}",
            budget=span(found["grace"]),
            **at(found["waits_at"]),
            timed=True,
            next_step="Wait for the webhooks under way, each of which has its deadline; then close.",
        )
        return
    if found["closing"]:
        yield Reason(
            f"`close()` raised {found['closing']}.",
            **at(found["waits_at"]),
            next_step="Close the pool on the loop it belongs to, then stop the loop.",
        )
    failed = sum(found["refused"].values()) + found["unanswered"]
    if failed:
        said = refusals(
            {**found["refused"], **({"-1": found["unanswered"]} if found["unanswered"] else {})}
        )
        error = root(found["errors"])
        yield Reason(
            f"At SIGTERM, {found['under_way']} webhooks were under way; they were answered {said}."
            f"{' ' + error['message'] if error else ''}",
            conflict="dropped-task",
            measured=count(failed, "webhook"),
            budget="0 webhooks",
            **at((error or {}).get("place")),
            next_step="In close(), wait for those under way before you take down the pool and the loop.",
        )
    elif found["connections"] and not (still["early"] or found["lost"]):
        yield Reason(
            f"When close() had returned, {count(found['connections'], 'connection')} stayed open.",
            conflict="unclosed-resource",
            measured=count(found["connections"], "connection"),
            budget="0 connections",
            **at(found["waits_at"]),
            next_step="Close the pool in close(), on its loop, and wait for that.",
        )
    if found["latecomer"] == 500:  # noqa: PLR2004
        error = root(found["errors"])
        yield Reason(
            "A webhook that came after SIGTERM was answered 500."
            f"{' ' + error['message'] if error else ''}",
            **at((error or {}).get("place")),
            next_step="Answer 503 once close() was called: the provider comes again.",
        )
