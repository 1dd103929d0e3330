"""Reads what the rehearsal found: the reasons why a lab does not keep its contract yet."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.flask_bridge import LESSON
from loopclinic.lessons.flask_bridge.errors import failed, root
from loopclinic.lessons.flask_bridge.promises import FEW, standstill
from loopclinic.lessons.flask_bridge.promises import end as at_end
from loopclinic.lessons.flask_bridge.wording import refusals
from loopclinic.lessons.lesson import Trial
from loopclinic.lessons.ranking import ranked
from loopclinic.lessons.wording import at, span
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["LEFTOVERS_JUDGED", "judge", "praise"]

LEFTOVERS_JUDGED = ("tasks", "threads")
"""A loop of the module's own, started when it is imported, is no leftover: it lives as long."""

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets


def judge(trial: Trial) -> list[Reason]:
    """Return the reasons, the root first; none means that the lab keeps its contract."""
    facts = trial.facts
    ended = [*_opening(facts["opening"]), *_died(facts.get("died"))]
    if ended:
        return ended
    load = facts["load"]
    broken = list(_load(load))
    reasons = [*_loops(load), *broken, *_forged(load)]
    if "end" in facts:
        still, end = facts["standstill"], facts["end"]
        reasons += standstill(still) if not broken else ()
        reasons += at_end(end, still, blocked=bool(broken))
    return ranked(reasons)


def praise(trial: Trial) -> str:
    """Return the sentence for a pass."""
    load, still, end = (trial.facts[name] for name in ("load", "standstill", "end"))
    return (
        f"{load['webhooks']} webhooks made {count(load['loops'], 'event loop')}. With the database at a "
        f"standstill, {still['sessions']} connections waited, and 503 came after "
        f"{span(still['seconds'])}. Of {end['promised']} webhooks under way at SIGTERM none was lost."
    )


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


def _died(message: str | None) -> Iterator[Reason]:
    if message is not None:
        yield Reason(
            f"In the middle of it, {message}",
            next_step="Nothing in a lab may end the process, or keep it from answering: raise, or return.",
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
    refused, error = load["refused"], root(load["errors"])
    often = sum(refused.values()) > FEW * load["webhooks"]
    others = {status: number for status, number in refused.items() if status != "503"}
    if often or others:
        yield failed(
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
