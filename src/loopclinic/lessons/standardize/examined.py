"""Rungs side by side, beyond speed: two payments at once, and the words in which a refusal comes out."""

import asyncio
from collections.abc import Sequence
from html import escape
from typing import Any
from uuid import uuid4

import psycopg

from loopclinic.lessons.drawing import Drawing
from loopclinic.probe import Probe

__all__ = ["examined"]

_CENTS = 3800
_MOSTLY = 0.5


async def examined(*ways: Any, dsn: str, opened: Any) -> Drawing:
    """Pay one invoice twice at once, then book one reference twice; count in the tables.

    `opened(way, dsn)` gives what is examined, as an async context manager.
    """
    rows, texts, totals = [], [], []
    for way in ways:
        async with opened(way, dsn) as billing:
            booked, second, busy = await _at_once(billing, dsn)
            refusal = await _refused(billing, dsn)
        totals.append((way.__name__, booked, busy))
        bad = booked > _CENTS
        foreign = not refusal.startswith("Billing")
        cells = (
            (f"{booked / _CENTS:.0f} x", bad),
            (second, bad),
            (refusal, foreign),
            (f"{busy:.0%}", busy > _MOSTLY),
        )
        rows.append(
            f"<tr><td><code>{escape(way.__name__)}</code></td>"
            + "".join(
                f"<td style='color:var(--lc-{'stall' if wrong else 'calm'})'>{escape(text)}</td>"
                for text, wrong in cells
            )
            + "</tr>"
        )
        texts.append(
            f"{way.__name__}: booked {cells[0][0]} the total, the second payment {second}; a "
            f"reference twice raised {refusal}; the loop was busy {cells[3][0]}"
        )
    head = (
        "<tr><th>Way</th><th>Booked of what was open</th><th>The second payment</th>"
        "<th>A reference twice raises</th><th>Loop busy</th></tr>"
    )
    moral = _moral(totals)
    return Drawing(
        f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table><p>{escape(moral)}</p>",
        "\n".join([*texts, moral]).rstrip(),
    )


def _moral(totals: Sequence[tuple[str, int, float]]) -> str:
    """Say what a stall was good for, where the figures show it."""
    kept = next((way for way, cents, busy in totals if cents <= _CENTS and busy > _MOSTLY), None)
    lost = next((way for way, cents, busy in totals if cents > _CENTS and busy <= _MOSTLY), None)
    if kept is None or lost is None:
        return ""
    return (
        f"{kept} booked once because nothing else could run in between: its stall was a lock, too. "
        f"{lost} took the stall away, and the lock with it."
    )


async def _at_once(billing: Any, dsn: str) -> tuple[int, str, float]:
    invoice = await asyncio.to_thread(_issue, dsn)
    async with Probe() as probe:
        answers = await asyncio.gather(
            *(billing.record(invoice, _CENTS, str(uuid4())) for _ in range(2)),
            return_exceptions=True,
        )
    refused = [type(one).__name__ for one in answers if isinstance(one, BaseException)]
    booked = await asyncio.to_thread(_booked, dsn, invoice)
    busy = probe.report().utilization or 0.0
    return booked, f"was refused: {refused[0]}" if refused else "was booked, too", busy


async def _refused(billing: Any, dsn: str) -> str:
    invoice = await asyncio.to_thread(_issue, dsn)
    reference = str(uuid4())
    try:
        for _ in range(2):
            await billing.record(invoice, 1, reference)
    except Exception as error:
        return type(error).__name__
    return "nothing"


def _issue(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "with new as (insert into invoice (number, booking_id, customer_id, issued_on, due_on)"
            " values (%s, 1, 1, '2030-05-01', '2030-05-15') returning id)"
            " insert into invoice_line (invoice_id, description, quantity, unit_cents)"
            " select id, 'two nights', 1, %s from new returning invoice_id",
            [f"X-{uuid4()}", _CENTS],
        ).fetchone()
    assert row is not None
    return int(row[0])


def _booked(dsn: str, invoice: int) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select coalesce(sum(amount_cents), 0) from payment where invoice_id = %s", [invoice]
        ).fetchone()
    assert row is not None
    return int(row[0])
