from typing import Optional

from .. import db
from ..domain import Vessel


def _vessel(row) -> Vessel:
    return Vessel(row["id"], row["customer_id"], row["name"], row["length_cm"], row["draft_cm"])


class VesselRepository:
    async def get(self, vessel_id: int) -> Optional[Vessel]:
        row = await db.fetchrow("select * from vessel where id = $1", vessel_id)
        return _vessel(row) if row else None

    async def many(self, vessel_ids: list[int]) -> dict[int, Vessel]:
        found = {}
        for vessel_id in vessel_ids:
            vessel = await self.get(vessel_id)
            if vessel is not None:
                found[vessel_id] = vessel
        return found

    async def add(self, customer_id: int, name: str, length_cm: int, draft_cm: int) -> Vessel:
        row = await db.fetchrow(
            "insert into vessel (customer_id, name, length_cm, draft_cm)"
            " values ($1, $2, $3, $4) returning *",
            customer_id,
            name,
            length_cm,
            draft_cm,
        )
        return _vessel(row)
