"""Requests, confirmations, arrivals."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import date

from ..billing import BillingService, InvoiceLine
from ..domain import Booking, BookingState, Tariff
from ..errors import BerthTaken, NotFound, VesselTooLong
from ..events import bus
from ..repositories import AuditLog, BerthRepository, BookingRepository, VesselRepository
from ..security import gate_code

logger = logging.getLogger(__name__)


class BookingService:
    def __init__(
        self,
        bookings: BookingRepository,
        berths: BerthRepository,
        vessels: VesselRepository,
        billing: BillingService,
        audit: AuditLog,
        tariff: Tariff | None = None,
    ) -> None:
        self.bookings = bookings
        self.berths = berths
        self.vessels = vessels
        self.billing = billing
        self.audit = audit
        self.tariff = tariff or Tariff()
        self._requesting = asyncio.Lock()

    async def request(
        self, berth_id: int, vessel_id: int, arrives_on: date, leaves_on: date
    ) -> Booking:
        berth = await self.berths.get(berth_id)
        vessel = await self.vessels.get(vessel_id)
        if berth is None:
            raise NotFound("berth", berth_id)
        if vessel is None:
            raise NotFound("vessel", vessel_id)
        if not berth.fits(vessel):
            raise VesselTooLong(f"{vessel} does not fit berth {berth.label}.")
        async with self._requesting:
            if self.bookings.overlapping(berth_id, arrives_on, leaves_on):
                raise BerthTaken(berth.label)
            booking = self.bookings.add(berth_id, vessel_id, arrives_on, leaves_on)
        await self.audit.record(f"customer {vessel.customer_id}", "request", booking.id)
        bus.publish("booking.requested", booking=booking)
        return booking

    async def confirm(self, booking_id: int, actor: str) -> Booking:
        booking = await self.bookings.get(booking_id)
        if booking is None:
            raise NotFound("booking", booking_id)
        vessel = await self.vessels.get(booking.vessel_id)
        if vessel is None:
            raise NotFound("vessel", booking.vessel_id)
        confirmed = replace(booking.to(BookingState.CONFIRMED), gate_code=gate_code(booking_id))
        self.bookings.save(confirmed)
        nights = len(list(booking.nights()))
        price = self.tariff.price(booking, vessel)
        await self.billing.issue(
            booking_id, vessel.customer_id, [InvoiceLine(f"{nights} nights, {vessel}", 1, price)]
        )
        self.audit.record(actor, "confirm", booking_id)
        bus.publish("booking.confirmed", booking=confirmed)
        return confirmed

    def cancel(self, booking_id: int) -> Booking:
        booking = self.bookings.get_sync(booking_id)
        if booking is None:
            raise NotFound("booking", booking_id)
        canceled = booking.to(BookingState.CANCELED)
        self.bookings.save(canceled)
        bus.publish("booking.canceled", booking=canceled)
        return canceled

    async def arrive(self, booking_id: int) -> Booking:
        booking = await self.bookings.get(booking_id)
        if booking is None:
            raise NotFound("booking", booking_id)
        arrived = booking.to(BookingState.ARRIVED)
        await asyncio.to_thread(self.bookings.save, arrived)
        return arrived
