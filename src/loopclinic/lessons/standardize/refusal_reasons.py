"""What billing must refuse: in the package's own words, and without a trace."""

from collections.abc import Iterator, Mapping
from typing import Any

from loopclinic.lessons.wording import at, ended, overdue
from loopclinic.units import count
from loopclinic.verdict import Reason

__all__ = ["refusals"]

Facts = Mapping[str, Any]


def refusals(facts: Facts) -> Iterator[Reason]:
    """Judge what must be refused: in the package's own words, and without a trace."""
    found = facts["refused"]
    endings: Facts = found["endings"]
    if found["open"]:
        name = next(iter(found["open"]))
        yield Reason(
            f"A call that failed ({name}) left a transaction open at PostgreSQL.",
            conflict="transaction-left-open",
            measured=count(len(found["open"]), "open transaction"),
            budget="0 open transactions",
            **at(endings[name].get("place")),
            next_step="Roll back whatever is raised, the domain's own errors included.",
        )
    leaks = list(_leaks(facts))
    if leaks:
        ending = leaks[0][1]
        names = ", ".join(name for name, _ in leaks)
        yield Reason(
            f"The driver's own error came out: {ending['message']} ({names}).",
            measured=count(len(leaks), "leak"),
            budget="0 leaks",
            **at(ending["place"]),
            next_step="Translate in the transaction's context manager: `raise ... from error`.",
        )
    yield from _wrong_words(endings, {name for name, _ in leaks})
    for name, cents in (("declined", "declined_paid"), ("refused", "refused_paid")):
        if found.get(cents):
            yield Reason(
                f"A payment that was to be {name} was booked: {found[cents]} cents.",
                measured=f"{found[cents]} cents",
                budget="0 cents",
                next_step="Look first, then book, in one transaction.",
            )
    gone = facts.get("gone", {})
    after = gone.get("after", ())
    if after and after[-1]["how"] != "returned":
        yield Reason(
            f"After PostgreSQL had ended the connections, no call got through: the last one "
            f"{ended(after[-1])}.",
            **at(after[-1]["place"]),
            timed=overdue(after[-1]),
            next_step="Take connections from a pool that replaces those that are gone.",
        )


def _leaks(facts: Facts) -> Iterator[tuple[str, Facts]]:
    candidates = {
        "a connection that is gone": facts.get("gone", {}).get("ending"),
        "a line that the tables refuse": facts["refused"]["endings"].get("invalid"),
        "a reference twice": facts["refused"]["endings"].get("duplicate"),
    }
    for name, ending in candidates.items():
        if ending and ending["how"] == "raised" and not ending["own"]:
            yield name, ending


_WANTED = {
    "declined": (None, "what the gateway raises"),
    "invalid": ("InvalidInvoice", "an invoice with a line of quantity 0"),
    "duplicate": ("DuplicatePayment", "a reference that was booked before"),
    "overpaid": ("Overpaid", "a payment of more than is open"),
    "unknown get": ("InvoiceNotFound", "an invoice that is not there"),
    "unknown charge": ("InvoiceNotFound", "an invoice that is not there"),
    "unknown record_payment": ("InvoiceNotFound", "an invoice that is not there"),
}
_LEAKED = {"invalid": "a line that the tables refuse", "duplicate": "a reference twice"}


def _wrong_words(endings: Facts, leaked: set[str]) -> Iterator[Reason]:
    for name, (wanted, what) in _WANTED.items():
        ending = endings.get(name)
        if ending is None or _LEAKED.get(name) in leaked:
            continue
        right = ending["how"] == "raised" and (
            ending["declined"] if wanted is None else wanted in ending["error"]
        )
        if not right:
            yield Reason(
                f"For {what}, the call {ended(ending)}.",
                measured=ended(ending),
                budget=wanted or "the gateway's own error",
                **at(ending.get("place")),
                timed=overdue(ending),
                next_step="Raise it, and let it through: an answer that hides it is wrong.",
            )
            return
