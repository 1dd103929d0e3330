"""Tests, tested: each is run on a right service and on services that are broken on purpose."""

import asyncio
import inspect
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import date
from html import escape
from types import ModuleType
from typing import Any
from unittest.mock import AsyncMock

import pytest

from loopclinic.importing import imported
from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.standardize import LESSON
from loopclinic.lessons.standardize.broken import BROKEN
from loopclinic.places import kit_root

__all__ = ["on_broken"]

_NAME = "moorings_billing"


async def on_broken(*tests: Callable[[Any, Any], Any]) -> Drawing:
    """Run each `test(service, gateway)` on the reference solution, and on each broken service."""
    package = await asyncio.to_thread(_solved)
    services: Mapping[str, type] = {
        "right": package.BillingService,
        **{what: make(package) for make, what in BROKEN.values()},
    }
    rows, texts = [], []
    for test in tests:
        cells, unawaited = [], 0
        for kind in services.values():
            passed, forgotten = await _passes(test, kind, package)
            unawaited += forgotten
            cells.append(passed)
        caught = cells[1:].count(False)
        note = f"{unawaited} coroutines were never awaited" if unawaited else ""
        marks = "".join(
            f"<td style='color:var(--lc-{'calm' if passed == (place == 0) else 'stall'})'>"
            f"{'passes' if passed else 'fails'}</td>"
            for place, passed in enumerate(cells)
        )
        rows.append(
            f"<tr><td><code>{escape(test.__name__)}</code><br>"
            f"<span class='lc-muted'>{escape(note)}</span></td>{marks}</tr>"
        )
        texts.append(
            f"{test.__name__}: {'passes' if cells[0] else 'fails'} on the right service, catches "
            f"{caught} of {len(BROKEN)} broken ones. {note}".rstrip()
        )
    head = "".join(f"<th>{escape(what)}</th>" for what in services)
    return Drawing(
        f"<table><thead><tr><th>On a service that ...</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>",
        "\n".join(texts),
    )


async def _passes(test: Any, kind: type, package: ModuleType) -> tuple[bool, int]:
    invoice = package.Invoice(
        id=5,
        number="2030-00005",
        booking_id=1,
        customer_id=2,
        issued_on=date(2030, 5, 1),
        due_on=date(2030, 5, 15),
        lines=[package.InvoiceLine("night", 2, 1900)],
    )
    invoices = AsyncMock()
    invoices.get.return_value = invoice
    invoices.add_payment.side_effect = lambda _, payment: invoice.payments.append(payment)
    gateway = AsyncMock()
    gateway.charge.return_value = "ch_1"

    @asynccontextmanager
    async def transaction() -> AsyncIterator[Any]:
        yield invoices

    service: Any = kind(transaction, gateway)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            answer = test(service, gateway)
            if inspect.isawaitable(answer):
                await answer
            passed = True
        except (Exception, pytest.fail.Exception):  # what pytest.raises ends by is no Exception
            passed = False
    return passed, sum("never awaited" in str(one.message) for one in said)


def _solved() -> ModuleType:
    """Return the reference solution's package, imported once."""
    known = sys.modules.get(_NAME)
    return known or imported(kit_root() / "solutions" / LESSON.name / "billing", _NAME)
