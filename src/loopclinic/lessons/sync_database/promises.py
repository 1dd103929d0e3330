"""What a lab promises of its tables and of how its calls end, set against what was found."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from loopclinic.lessons.leftovers import unclosed
from loopclinic.lessons.sync_database import LESSON
from loopclinic.lessons.sync_database.wording import meanwhile
from loopclinic.lessons.wording import at, ended, overdue, span
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["endings", "openings", "results"]

Facts = Mapping[str, Any]

_BUDGETS = LESSON.budgets
_SHARED = ("another operation is in progress", "OutOfOrderTransactionNesting", "another command")


def openings(facts: Facts, steps: Iterable[str]) -> Iterator[Reason]:
    """Judge `async with Audits(...)`; at most one reason."""
    for name in steps:
        trouble = facts[name]["opening"]
        if trouble is not None:
            yield Reason(
                f"Opening Audits(dsn, size=...) {ended(trouble)}.",
                **at(trouble["place"]),
                timed=overdue(trouble),
                next_step="Open what audits need in __aenter__, and return self.",
            )
            return


# The tables.


def results(facts: Facts, *, blocked: bool) -> Iterator[Reason]:
    """Judge answers and rows; at most one reason. `blocked`: it is told already why some are missing."""
    for name, doing in (
        ("line", "Of two audits on a slow line"),
        ("crowd", "Among {audits} audits at once"),
        ("family", "Of two audits of one company"),
    ):
        reason = _unit(facts[name], doing.format(**facts[name]), blocked=blocked)
        if reason is not None:
            yield reason
            return


def _unit(found: Facts, doing: str, *, blocked: bool) -> Reason | None:
    if found["stuck"] is not None:
        return None
    place: dict[str, Any] = {}
    for ending in found["endings"]:
        place = at(ending.get("place"))
        if ending["how"] == "running" and blocked:
            return None
        if ending["how"] != "returned":
            shared = any(sign in ending.get("message", "") for sign in _SHARED)
            step = (
                "A connection serves one unit of work at a time: take one from a pool for each."
                if shared
                else "Every audit of these can be done: see what stopped this one."
            )
            return Reason(
                f"{doing}, one {ended(ending)}.",
                **place,
                next_step=step,
                timed=overdue(ending),
            )
        if not ending["right"]:
            return Reason(
                f"{doing}, one {ended(ending)}, which is not the number of answers that name its "
                "company.",
                next_step="Count the answers that hold the company's name, capitals or not.",
            )
    if not all(found.get("asked", ())):
        return Reason(
            f"{doing}, one did not ask each of its queries once.",
            next_step="Ask `await ask(text)` for each row in `queries`, and only there.",
        )
    if found.get("early"):
        return Reason(
            f"{count(len(found['early']), 'audit')} had rows in `responses` or was 'done' while its "
            "company's row could not be written yet: it is not all in one transaction.",
            **at(found.get("storing_at")),
            next_step="Store responses, audit and company between one begin and one commit.",
        )
    stored = found.get("stored", {"wrong": (), "miscounted": ()})
    if stored["wrong"]:
        return Reason(
            f"{doing}, {count(len(stored['wrong']), 'audit')} returned and is not in the tables as it "
            f"should be (audit {stored['wrong'][0]}).",
            next_step="Store a row for each query, the audit's mentions and 'done', and commit.",
        )
    if stored["miscounted"]:
        return Reason(
            f"{doing}, `companies` was miscounted: its sums are not those of its audits.",
            measured=count(len(stored["miscounted"]), "company", "companies"),
            budget="0 companies",
            next_step="Let PostgreSQL add: set mentions = mentions + ..., in the same transaction.",
        )
    return None


# Ends.


def endings(facts: Facts, steps: Iterable[str]) -> Iterator[Reason]:
    """Judge cancelled audits, failing models and closing; at most one reason of each."""
    yield from _cancelled(facts["cancelled"])
    yield from _failing(facts["failing"])
    yield from _closing(facts, steps)


def _cancelled(found: Facts) -> Iterator[Reason]:
    budget = _BUDGETS["cancel"]
    for name, doing in (("asking", "asked"), ("storing", "stored its responses")):
        case = found.get(name)
        if case is None or any(one["how"] == "broken-off" for one in case["endings"]):
            continue
        place = at(case["place"])
        for ending in case["endings"]:
            late = ending["seconds"] > budget.limit
            if ending["how"] != "cancelled" or late:
                how = ended(ending) if not late else f"went on for {span(ending['seconds'])}"
                yield Reason(
                    f"An audit was cancelled while it {doing}, and {how} instead of ending by "
                    "CancelledError.",
                    conflict="swallowed-cancellation",
                    measured=span(ending["seconds"]),
                    budget=str(budget),
                    **place,
                    timed=late,
                    next_step="Let CancelledError through, once PostgreSQL has been told.",
                )
                return
        if case["open"]:
            yield Reason(
                f"An audit was cancelled while it {doing}, and ended; its transaction did not."
                f"{meanwhile(case['open'])} Its locks and its connection are gone for as long.",
                conflict="transaction-left-open",
                measured=f"open for {span(max(one['transaction'] for one in case['open']))}",
                budget=f"{span(budget.limit)} after the cancel",
                **place,
                next_step="Roll back and give the connection back in `finally`, or use the driver's "
                "own `async with`; stop a thread's query, too (connection.cancel()).",
            )
            return
        if case.get("stored"):
            yield Reason(
                f"An audit was cancelled while it {doing}, and ended; its work went on, and was "
                "committed later.",
                conflict="dropped-task",
                measured=count(len(case["stored"]), "audit"),
                budget="0 audits",
                **place,
                next_step="Cancel the work itself, and wait for its end before you let go.",
            )
            return
    if found["stuck"] is not None:
        return
    for ending in found["after"]:
        if ending["how"] != "returned":
            lost = ending["how"] == "running"
            yield Reason(
                "After some audits had been cancelled, the next ones "
                f"{'found no connection' if lost else 'failed'}: one {ended(ending)}.",
                conflict="unclosed-resource" if lost else None,
                **at(ending.get("place")),
                timed=lost,
                next_step="Give each connection back to the pool, and as it was, whatever ends its work.",
            )
            return


def _failing(found: Facts) -> Iterator[Reason]:
    if found["stuck"] is not None:
        return
    ending = found["ending"]
    if not ending.get("model"):
        yield Reason(
            f"`ask` raised, and run {ended(ending)} instead.",
            **at(ending.get("place")),
            timed=overdue(ending),
            next_step="Let an error of `ask` through: whoever ordered the audit must know.",
        )
    elif found["touched"]:
        yield Reason(
            "`ask` raised, and there are rows of that audit.",
            **at(ending.get("place")),
            next_step="Store nothing before all answers are there, or roll back.",
        )
    elif found["open"]:
        yield Reason(
            f"`ask` raised, and the audit's transaction stayed open.{meanwhile(found['open'])}",
            conflict="transaction-left-open",
            measured=count(len(found["open"]), "open transaction"),
            budget="0 open transactions",
            **at(ending.get("place")),
            next_step="Hold no transaction while you ask; roll back in `finally`.",
        )


def _closing(facts: Facts, steps: Iterable[str]) -> Iterator[Reason]:
    for name in steps:
        found = facts[name]
        if found["stuck"] is not None or (name == "cancelled" and found["asking"]["open"]):
            continue
        reasons = list(unclosed(found, "Audits(...)", "__aexit__"))
        if reasons:
            yield from reasons
            return
