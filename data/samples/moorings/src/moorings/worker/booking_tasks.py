import asyncio
import logging
import time
from datetime import date

from celery import shared_task

from ..adapters.mailer import Mailer
from ..adapters.sms import SmsGateway
from ..repositories import BookingRepository, CustomerRepository, VesselRepository
from ..services.notifications import Notifications
from .celery_app import app

logger = logging.getLogger(__name__)

# one for all tasks: the mail server takes four connections from us
_mailing = asyncio.Semaphore(4)


async def _tell(customer, booking) -> None:
    async with _mailing:
        await Notifications(Mailer(), SmsGateway()).confirmed(customer, booking)


@app.task(name="bookings.arrivals")
def arrivals() -> int:
    repository = BookingRepository()
    bookings = repository.arriving(date.today())
    for booking in bookings:
        tell.delay(booking.id)
        time.sleep(0.1)
    return len(bookings)


@shared_task(name="bookings.tell")
def tell(booking_id: int) -> None:
    booking = BookingRepository().get_sync(booking_id)
    if booking is None:
        return
    vessel = asyncio.run(VesselRepository().get(booking.vessel_id))
    customer = CustomerRepository().get(vessel.customer_id)
    asyncio.run(_tell(customer, booking))
