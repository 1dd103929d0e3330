from typing import Optional

from .. import db
from ..domain import Berth


def _berth(row) -> Berth:
    return Berth(
        id=row["id"],
        pier=row["pier"],
        place=row["place"],
        length_cm=row["length_cm"],
        depth_cm=row["depth_cm"],
        has_power=row["has_power"],
    )


class BerthRepository:
    async def get(self, berth_id: int) -> Optional[Berth]:
        row = await db.fetchrow("select * from berth where id = $1", berth_id)
        return _berth(row) if row else None

    async def all(self) -> list[Berth]:
        return [_berth(row) for row in await db.fetch("select * from berth order by pier, place")]

    async def free(self, arrives_on, leaves_on) -> list[Berth]:
        rows = await db.fetch(
            """
            select * from berth where not exists (
                select from booking
                where booking.berth_id = berth.id
                  and booking.state <> 'canceled'
                  and booking.arrives_on < $2 and $1 < booking.leaves_on
            ) order by pier, place
            """,
            arrives_on,
            leaves_on,
        )
        return [_berth(row) for row in rows]
