"""Mail, text messages and the notice board."""

import asyncio
import logging

from ..adapters.mailer import Mailer
from ..adapters.sms import SmsGateway
from ..domain import Booking
from ..events import bus
from ..repositories import Customer

logger = logging.getLogger(__name__)


class Notifications:
    def __init__(self, mailer: Mailer, sms: SmsGateway) -> None:
        self.mailer = mailer
        self.sms = sms

    async def confirmed(self, customer: Customer, booking: Booking) -> None:
        asyncio.create_task(
            self.mailer.send_template(
                customer.email, "Your berth", "confirmed", name=customer.first_name, day=booking.arrives_on
            )
        )
        if customer.phone and booking.gate_code:
            await self.sms.send_code(customer.phone, booking.gate_code)

    async def storm_warning(self, customers: list[Customer], force: int) -> None:
        text = f"Wind force {force} is expected tonight. Please check your lines."
        await asyncio.gather(
            *[self.mailer.send_async(one.email, "Storm warning", text) for one in customers]
        )
        for one in customers:
            if one.phone:
                self.sms.send_later(one.phone, text)

    async def welcome(self, customer: Customer) -> None:
        body = self.mailer.render("welcome", name=customer.first_name)
        self.mailer.send(customer.email, "Welcome", body)


@bus.on("booking.canceled")
def log_cancellation(booking: Booking) -> None:
    logger.info("booking %d was canceled", booking.id)


@bus.on("booking.requested")
async def tell_harbormaster(booking: Booking) -> None:
    mailer = Mailer()
    await mailer.send_async("harbormaster@moorings.example", "New request", f"Booking {booking.id}")
