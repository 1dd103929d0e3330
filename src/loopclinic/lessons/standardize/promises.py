"""The promises of the contract beside the loop's: what the books hold, what is left of cancels and at the end."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from loopclinic.lessons.leftovers import leftovers, unclosed
from loopclinic.lessons.standardize import LESSON
from loopclinic.lessons.wording import at, ended, overdue, span
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["cancels", "closings", "results"]

Facts = Mapping[str, Any]

_CANCEL = LESSON.budgets["cancel"].limit


def results(facts: Facts, *, blocked: bool, starved: bool) -> Iterator[Reason]:
    """Judge what the calls gave, and what the books hold of them."""
    line = facts["line"]
    bad = next((item for item in line["endings"].items() if item[1]["how"] != "returned"), None)
    if bad is not None:
        name, ending = bad
        yield Reason(
            f"`{name}` {ended(ending)}.",
            **at(ending["place"]),
            timed=overdue(ending),
            next_step=f"Let `{name}` be async, and give what it gave before.",
        )
    elif line.get("wrong"):
        yield Reason(
            f"Not so: {line['wrong'][0]}.",
            next_step="Keep what the methods promise; the contract names it.",
        )
    if blocked:
        return
    yield from _numbers(facts)
    crowd = facts.get("crowd", {})
    failed = [one for one in crowd.get("issued", ()) if one["how"] != "returned"]
    if failed:
        yield Reason(
            f"Of {count(len(crowd['issued']), 'issue')} at once, {len(failed)} did not return: one "
            f"{ended(failed[0])}.",
            **at(failed[0]["place"]),
            timed=overdue(failed[0]),
            next_step="Let the next one wait for its number until the one before has committed.",
        )
        return
    wrong = [one for one in crowd.get("endings", ()) if one["how"] != "returned"]
    if wrong and not starved:
        yield Reason(
            f"Of {count(crowd['charges'], 'charge')} at once, {len(wrong)} did not return: one "
            f"{ended(wrong[0])}.",
            **at(wrong[0]["place"]),
            timed=overdue(wrong[0]),
            next_step="Let calls wait for a connection, and share none between two at once.",
        )
    elif crowd.get("unpaid") and not starved:
        yield Reason(
            f"Of {count(crowd['charges'], 'charge')} that returned, {crowd['unpaid']} are not "
            "stored as paid in full.",
            next_step="Book the payment and set the status in one transaction, and commit it.",
        )
    race = facts.get("race", {})
    entry = race.get("entry")
    if entry and entry["paid"] > entry["total"]:
        yield Reason(
            "Two payments of all that was open came at once, and both were booked: "
            f"{entry['paid']} of {entry['total']} cents.",
            measured=f"{entry['paid'] / entry['total']:.1f} x the total",
            budget="1 x the total",
            next_step="Read the invoice `for update`, in the transaction that books.",
        )
    elif entry and entry["paid"] < entry["total"]:
        yield Reason(
            "Of two payments at once, none was booked: one "
            f"{ended(race['endings'][0])}, the other {ended(race['endings'][1])}.",
            **at(race["endings"][0]["place"]),
            timed=any(map(overdue, race["endings"])),
            next_step="Let the second wait for the first, and then be refused.",
        )


def _numbers(facts: Facts) -> Iterator[Reason]:
    cancelled = facts.get("cancelled", {})
    if cancelled.get("early"):
        yield Reason(
            "While an invoice was being stored, others could already see a part of it.",
            measured=count(cancelled["early"], "row"),
            budget="0 rows before its commit",
            next_step="Number, invoice and lines in one transaction, committed once at the end.",
        )
        return
    for gaps in (
        facts.get("crowd", {}).get("gaps"),
        facts["refused"].get("gaps"),
        cancelled.get("gaps"),
    ):
        # A counter that stands at 0 is not used: the numbers come from elsewhere.
        if gaps and (not gaps["right"] or gaps["counted"] not in (0, len(gaps["numbers"]))):
            yield Reason(
                f"The counter came to {gaps['counted']}, for {count(len(gaps['numbers']), 'invoice')} "
                f"({', '.join(gaps['numbers'][:4]) or 'none'}).",
                measured=f"{gaps['counted'] - len(gaps['numbers'])} numbers lost",
                budget="0 numbers",
                next_step="Count and store in one transaction: what fails gives its number back.",
            )
            return


def cancels(found: Facts) -> Iterator[Reason]:
    """Judge what cancelled calls did, and what they left."""
    for name, doing in (("issue", "an issue that stored"), ("charge", "a charge that asked")):
        part = found.get(name)
        if part is None:
            continue
        late = [one for one in part["endings"] if one["how"] == "running"]
        deaf = [one for one in part["endings"] if one["how"] in ("returned", "raised")]
        if deaf:
            yield Reason(
                f"Cancelled, {doing} {ended(deaf[0])}.",
                conflict="swallowed-cancellation",
                **at(part["place"]),
                next_step="Let CancelledError through: no bare except, no BaseException.",
            )
            return
        if late:
            yield Reason(
                f"Cancelled, {doing} was not over after {span(_CANCEL)}.",
                conflict="swallowed-cancellation",
                measured=f"over {span(_CANCEL)}",
                budget=span(_CANCEL),
                **at(part["place"]),
                timed=True,
                next_step="End the statement at PostgreSQL, then let CancelledError through.",
            )
            return
        if part["open"]:
            yield Reason(
                f"Cancelled, {doing} left {count(part['open'], 'transaction')} open at PostgreSQL, "
                f"{span(_CANCEL)} later.",
                conflict="transaction-left-open",
                measured=count(part["open"], "open transaction"),
                budget="0 open transactions",
                **at(part["place"]),
                next_step="Roll back in `finally` or by the driver's own `async with`: "
                "`except Exception` does not see a cancel.",
            )
            return
    # What was there before its commit was stored before the cancel, too: told elsewhere.
    if found.get("stored") and not found["early"]:
        yield Reason(
            "An issue that was cancelled while it stored went on, and its invoice was stored.",
            conflict="dropped-task",
            measured=count(found["stored"], "invoice"),
            budget="0 invoices",
            next_step="A thread goes on when its task is cancelled: cancel the connection, too.",
        )
    if found.get("booked"):
        yield Reason(
            "A charge that was cancelled while it asked was booked all the same.",
            conflict="dropped-task",
            measured=f"{found['booked']} cents",
            budget="0 cents",
            next_step="Do not book after a cancel: let CancelledError through.",
        )
    stuck = [one for one in found.get("after", ()) if one["how"] != "returned"]
    if stuck and not found.get("stored"):
        yield Reason(
            f"After two cancelled calls, the next one {ended(stuck[0])}.",
            # One that waits has no connection to work with; one that raised says itself what it lacks.
            conflict="unclosed-resource" if overdue(stuck[0]) else None,
            **at(stuck[0]["place"]),
            timed=overdue(stuck[0]),
            next_step="Give the connection back in `finally`, whatever happened.",
        )


def closings(facts: Facts, steps: Iterable[str]) -> Iterator[Reason]:
    """Judge what is left when all is closed; at most one reason."""
    for name in steps:
        found = facts.get(name)
        if found is None or (name == "cancelled" and found.get("issue", {}).get("open")):
            continue
        reasons = list(unclosed(found, "open_billing(...)", "open_billing"))
        if reasons:
            yield from reasons
            return
    yield from leftovers(facts)
