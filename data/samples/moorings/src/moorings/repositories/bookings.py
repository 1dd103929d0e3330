"""Bookings. Half of it moved to asyncpg with the new API; the worker still needs the other half."""

from __future__ import annotations

from datetime import date
from typing import Any, Mapping

from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from .. import db
from ..db.sync_pool import get_sync_pool
from ..domain import Booking, BookingState


def _booking(row: Mapping[str, Any]) -> Booking:
    return Booking(
        id=row["id"],
        berth_id=row["berth_id"],
        vessel_id=row["vessel_id"],
        arrives_on=row["arrives_on"],
        leaves_on=row["leaves_on"],
        state=BookingState(row["state"]),
        gate_code=row["gate_code"],
    )


class BookingRepository:
    def __init__(self, pool: ConnectionPool | None = None) -> None:
        self._pool = pool

    @property
    def pool(self) -> ConnectionPool:
        return self._pool or get_sync_pool()

    async def get(self, booking_id: int) -> Booking | None:
        row = await db.fetchrow("select * from booking where id = $1", booking_id)
        return _booking(row) if row else None

    async def of_customer(self, customer_id: int) -> list[Booking]:
        rows = await db.fetch(
            "select b.* from booking b join vessel v on v.id = b.vessel_id"
            " where v.customer_id = $1 order by arrives_on desc",
            customer_id,
        )
        return [_booking(row) for row in rows]

    def get_sync(self, booking_id: int) -> Booking | None:
        with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            row = cursor.execute("select * from booking where id = %s", (booking_id,)).fetchone()
        return _booking(row) if row else None

    def arriving(self, day: date) -> list[Booking]:
        with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            cursor.execute(
                "select * from booking where arrives_on = %s and state = 'confirmed'", (day,)
            )
            return [_booking(row) for row in cursor]

    def overlapping(self, berth_id: int, arrives_on: date, leaves_on: date) -> list[Booking]:
        with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            cursor.execute(
                "select * from booking where berth_id = %s and state <> 'canceled'"
                " and arrives_on < %s and %s < leaves_on",
                (berth_id, leaves_on, arrives_on),
            )
            return [_booking(row) for row in cursor]

    def add(self, berth_id: int, vessel_id: int, arrives_on: date, leaves_on: date) -> Booking:
        with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            row = cursor.execute(
                "insert into booking (berth_id, vessel_id, arrives_on, leaves_on)"
                " values (%s, %s, %s, %s) returning *",
                (berth_id, vessel_id, arrives_on, leaves_on),
            ).fetchone()
        return _booking(row)

    def save(self, booking: Booking) -> None:
        with self.pool.connection() as connection:
            connection.execute(
                "update booking set state = %s, gate_code = %s where id = %s",
                (booking.state.value, booking.gate_code, booking.id),
            )
