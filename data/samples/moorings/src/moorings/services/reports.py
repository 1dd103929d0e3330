"""Occupancy and revenue, for the owners of the marinas."""

import asyncio
import csv
import io
import logging
from collections import Counter
from datetime import date, timedelta
from typing import Iterable

from .. import db
from ..adapters.accounting import Accounting
from ..db.sync_pool import get_sync_pool

logger = logging.getLogger(__name__)


def days(start: date, end: date) -> Iterable[date]:
    for offset in range((end - start).days):
        yield start + timedelta(days=offset)


class Reports:
    def __init__(self, accounting: Accounting) -> None:
        self.accounting = accounting

    async def occupancy(self, start: date, end: date) -> dict[date, int]:
        found: Counter[date] = Counter()
        for day in days(start, end):
            row = await db.fetchrow(
                "select count(*) from booking where arrives_on <= $1 and leaves_on > $1", day
            )
            found[day] = row[0]
        return dict(found)

    async def dashboard(self, start: date, end: date) -> dict[str, object]:
        occupancy = await self.occupancy(start, end)
        arrivals = await db.fetch("select * from booking where arrives_on = $1", start)
        open_items = self.accounting.open_items(start)
        return {"occupancy": occupancy, "arrivals": len(arrivals), "open": len(open_items)}

    def revenue(self, year: int) -> list[tuple[int, int]]:
        with get_sync_pool().connection() as connection:
            return connection.execute(
                "select extract(month from issued_on)::int, sum(quantity * unit_cents)::int"
                " from invoice join invoice_line on invoice_id = invoice.id"
                " where extract(year from issued_on) = %s group by 1 order by 1",
                (year,),
            ).fetchall()

    async def revenue_csv(self, year: int) -> str:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["month", "cents"])
        writer.writerows(self.revenue(year))
        return out.getvalue()

    async def both_years(self, year: int) -> tuple[str, str]:
        return await asyncio.gather(self.revenue_csv(year - 1), self.revenue_csv(year))

    async def export(self, year: int, path: str) -> None:
        body = await self.revenue_csv(year)
        with open(path, "w", newline="") as file:
            file.write(body)
