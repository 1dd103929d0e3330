"""Reads what the rehearsal found: the reasons why a lab does not keep its contract yet."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loopclinic.conflicts import CONFLICTS
from loopclinic.lessons.flask_bridge import LESSON
from loopclinic.lessons.flask_bridge.wording import at, count, refusals, span
from loopclinic.lessons.lesson import Trial
from loopclinic.verdict import Reason

__all__ = ["judge", "praise"]

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets
_FOREIGN = re.compile(r"attached to a different loop|different event loop|Event loop is closed")
"""How asyncio says that something belongs to another loop."""
_SHARED = "another operation is in progress"
_FEW = 0.25
"""Share of webhooks that a stumble of the machine's may have answered 503, twice over."""


def judge(trial: Trial) -> list[Reason]:
    """Return the reasons, the root first; none means that the lab keeps its contract."""
    facts = trial.facts
    opening = list(_opening(facts["opening"]))
    if opening:
        return opening
    load = facts["load"]
    broken = list(_load(load))
    reasons = [*_loops(load), *broken, *_forged(load)]
    if "end" in facts:
        still, end = facts["standstill"], facts["end"]
        reasons += _standstill(still) if not broken else ()
        reasons += _end(end, still, blocked=bool(broken))
    order = {reason: number for number, reason in enumerate(reasons)}
    return sorted(order, key=lambda reason: (_rank(reason), order[reason]))


def praise(trial: Trial) -> str:
    """Return the sentence for a pass."""
    load, still, end = (trial.facts[name] for name in ("load", "standstill", "end"))
    return (
        f"{load['webhooks']} webhooks made {count(load['loops'], 'event loop')}. With the database at a "
        f"standstill, {still['sessions']} connections waited, and 503 came after "
        f"{span(still['seconds'])}. Of {end['promised']} webhooks under way at SIGTERM none was lost."
    )


def _rank(reason: Reason) -> int:
    # What is wrong in the tables comes before every conflict but those of the loop itself.
    if reason.conflict is None:
        return CONFLICTS["missing-deadline"].rank
    return CONFLICTS[reason.conflict].rank


def _opening(trouble: Facts | None) -> Iterator[Reason]:
    if trouble is None:
        return
    message = trouble["message"]
    yield Reason(
        f"Receiver(dsn, secret, size=..., timeout=...) could not be served: {message}",
        conflict="nested-loop" if "running event loop" in message else None,
        **at(trouble["place"]),
        next_step="Open what webhooks need in __init__, and set `app` to a Flask application.",
    )


# The load.


def _loops(load: Facts) -> Iterator[Reason]:
    budget = _BUDGETS["loops"]
    share = load["loops"] / load["deliveries"]
    if share > budget.limit:
        yield Reason(
            f"{load['deliveries']} webhooks made {count(load['loops'], 'event loop')}, each with "
            "connections of its own: what belongs to a loop ends with it.",
            conflict="loop-per-call",
            measured=f"{share:.1f} loops a webhook",
            budget=str(budget),
            **at(load["runs_at"]),
            next_step="Run one loop on a thread of its own, and hand it work by "
            "asyncio.run_coroutine_threadsafe.",
        )


def _load(load: Facts) -> Iterator[Reason]:
    """Webhooks that a database at leisure did not get; one reason at most."""
    refused, error = load["refused"], _root(load["errors"])
    often = sum(refused.values()) > _FEW * load["webhooks"]
    others = {status: number for status, number in refused.items() if status != "503"}
    if often or others:
        yield _failed(
            f"Of {load['webhooks']} webhooks, with the database at leisure, some were answered "
            f"{refusals(refused)}.",
            error,
            load["waits_at"],
        )
    elif load["missing"] and not refused:
        yield Reason(
            f"Of {load['webhooks']} webhooks answered 204, {load['missing']} were not in `updates` "
            "a second later.",
            measured=count(load["missing"], "update"),
            budget="0 updates",
            **at((error or {}).get("place")),
            next_step="Answer 204 once `await record(database, update)` has come back.",
        )
    elif load["miscounted"]:
        yield Reason(
            "The sums in `messages` are not those of `updates`.",
            measured=count(load["miscounted"], "message"),
            budget="0 messages",
            next_step="Leave it to `record`: it counts an update once, also when it comes twice.",
        )
    elif load["recorded"] < load["webhooks"] / 2:
        yield Reason(
            f"{load['webhooks']} updates were stored, and `record` stored {load['recorded']} of them.",
            measured=count(load["recorded"], "call"),
            budget=count(load["webhooks"], "call"),
            next_step="Store by `await record(database, update)`: others of ours rely on it.",
        )


def _failed(sentence: str, error: Facts | None, waits_at: Facts | None) -> Reason:
    if error is None:
        return Reason(
            sentence,
            conflict="blocking-sync-primitive" if _result(waits_at) else None,
            **at(waits_at),
            next_step="See where they wait: a loop must not wait for its own work.",
        )
    message = error["message"]
    foreign = _FOREIGN.search(message)
    nested = "running event loop" in message
    if foreign:
        step = "Make the pool on the loop that uses it, and use it from no other."
    elif nested:
        step = "Hand the work to a loop on another thread: a running loop can't run a second one."
    elif _SHARED in message:
        step = "A connection serves one webhook at a time: take one from a pool for each."
    else:
        step = "See what it raises: with the database at leisure, every webhook can be stored."
    return Reason(
        f"{sentence} {message}",
        conflict="loop-bound-primitive" if foreign else "nested-loop" if nested else None,
        **at(error["place"]),
        next_step=step,
    )


def _result(place: Facts | None) -> bool:
    return bool(place and ".result(" in place["code"])


def _root(errors: Sequence[Facts]) -> Facts | None:
    foreign = next((one for one in errors if _FOREIGN.search(one["message"])), None)
    return foreign or (errors[0] if errors else None)


def _forged(load: Facts) -> Iterator[Reason]:
    if load["forged_stored"] or load["let_in"]:
        first = load["let_in"][0] if load["let_in"] else {"kind": "forged", "status": 401}
        stored = ", and stored" if load["forged_stored"] else ""
        yield Reason(
            f"A webhook that the provider did not sign ({first['kind']}) was answered "
            f"{first['status']}{stored}.",
            measured=count(max(len(load["let_in"]), load["forged_stored"]), "forged webhook"),
            budget="0 forged webhooks",
            next_step="Ask `genuine` of the bytes that came, before anything else, and answer 401.",
        )


# The database stands still.


def _standstill(still: Facts) -> Iterator[Reason]:
    timeout, size = still["timeout"], still["size"]
    late, piled = _BUDGETS["late"], _BUDGETS["piled_up"]
    if still["sessions"] > _BUDGETS["connections"].limit * size:
        yield Reason(
            f"PostgreSQL saw {count(still['sessions'], 'connection')} at once, where `size` is {size}.",
            conflict="unbounded-gather",
            measured=f"{still['sessions'] / size:.1f} x size",
            budget=str(_BUDGETS["connections"]),
            **at(still["waits_at"]),
            next_step="Make one pool in __init__, with max_size=size, for all webhooks.",
        )
    elif still["waiting"] <= size / 2 and not still["early"]:
        yield Reason(
            f"With eight webhooks to be stored, {still['waiting']} of {size} connections had one: "
            "the bridge takes them one after another.",
            conflict="sequential-awaits",
            measured=f"{still['waiting']} at once",
            budget=f"{size} at once",
            **at(still["waits_at"]),
            next_step="Start each webhook's work at once; the pool keeps them to `size`.",
        )
    if still["unanswered"]:
        yield Reason(
            f"With the database at a standstill, {count(still['unanswered'], 'webhook')} had no answer "
            f"after {span(still['seconds'])}: eight of these, and the server answers nobody.",
            conflict="missing-deadline",
            measured=f"over {still['seconds'] / timeout:.0f} x timeout",
            budget=str(late),
            **at(still["waits_at"]),
            next_step="Put asyncio.timeout(timeout) around the work, and answer TimeoutError by 503.",
        )
        return
    others = {k: n for k, n in still["answered"].items() if k not in ("503", "204")}
    if others:
        error = _root(still["errors"])
        yield Reason(
            f"With the database at a standstill, webhooks were answered {refusals(others)} instead of "
            f"503.{' ' + error['message'] if error else ''}",
            **at((error or {}).get("place")),
            next_step="Answer 503 when the deadline passes: the provider comes again.",
        )
    left = still["left"] / (8 * still["waves"])
    if left > piled.limit and not still["early"]:
        yield Reason(
            f"{8 * still['waves']} webhooks were answered 503, and {still['left']} tasks and threads went "
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
    if sum(still["refused"].values()) > _FEW * 8 * still["waves"] or still["missing"]:
        error = _root(still["errors"])
        yield _failed(
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


# SIGTERM.


def _end(end: Facts, still: Facts, *, blocked: bool) -> Iterator[Reason]:
    budget = _BUDGETS["lost"]
    if end["lost"] > budget.limit:
        yield Reason(
            f"At SIGTERM, {end['lost']} of {end['promised']} updates were lost: answered 204, and in no "
            "table. The provider will not come again.",
            conflict="dropped-task",
            measured=count(end["lost"], "update"),
            budget="0 updates",
            **at(end["waits_at"]),
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
    if end["late"]:
        yield Reason(
            f"`close()` was not over {span(end['grace'])} after SIGTERM.",
            conflict="missing-deadline",
            measured=f"over {span(end['grace'])}",
            budget=span(end["grace"]),
            **at(end["waits_at"]),
            next_step="Wait for the webhooks under way, each of which has its deadline; then close.",
        )
        return
    if end["closing"]:
        yield Reason(
            f"`close()` raised {end['closing']}.",
            **at(end["waits_at"]),
            next_step="Close the pool on the loop it belongs to, then stop the loop.",
        )
    failed = sum(end["refused"].values()) + end["unanswered"]
    if failed:
        said = refusals(
            {**end["refused"], **({"-1": end["unanswered"]} if end["unanswered"] else {})}
        )
        error = _root(end["errors"])
        yield Reason(
            f"At SIGTERM, {end['under_way']} webhooks were under way; they were answered {said}."
            f"{' ' + error['message'] if error else ''}",
            conflict="dropped-task",
            measured=count(failed, "webhook"),
            budget="0 webhooks",
            **at((error or {}).get("place")),
            next_step="In close(), wait for those under way before you take down the pool and the loop.",
        )
    elif end["connections"] and not (still["early"] or end["lost"]):
        yield Reason(
            f"When close() had returned, {count(end['connections'], 'connection')} stayed open.",
            conflict="unclosed-resource",
            measured=count(end["connections"], "connection"),
            budget="0 connections",
            **at(end["waits_at"]),
            next_step="Close the pool in close(), on its loop, and wait for that.",
        )
    if end["latecomer"] == 500:  # noqa: PLR2004
        error = _root(end["errors"])
        yield Reason(
            "A webhook that came after SIGTERM was answered 500."
            f"{' ' + error['message'] if error else ''}",
            **at((error or {}).get("place")),
            next_step="Answer 503 once close() was called: the provider comes again.",
        )
