from datetime import date

from fastapi import APIRouter, BackgroundTasks
from pydantic import BaseModel

from ..adapters.mailer import Mailer
from ..adapters.sms import SmsGateway
from ..cache import get_redis
from ..errors import NotFound
from ..repositories import BookingRepository, CustomerRepository
from ..security import new_token
from ..services.notifications import Notifications
from .deps import Bookings, CurrentCustomer, Customers

router = APIRouter(prefix="/bookings", tags=["bookings"])
notifications = Notifications(Mailer(), SmsGateway())


class Request(BaseModel):
    berth_id: int
    vessel_id: int
    arrives_on: date
    leaves_on: date


class LogIn(BaseModel):
    email: str
    password: str


@router.post("/log-in")
async def log_in(body: LogIn, customers: Customers) -> dict[str, str]:
    customer = await customers.log_in(body.email, body.password)
    token = new_token()
    get_redis().setex(f"session:{token}", 86400, customer.id)
    return {"token": token, "greeting": customers.greeting(customer)}


@router.get("/")
async def mine(customer_id: CurrentCustomer) -> list[int]:
    return [one.id for one in await BookingRepository().of_customer(customer_id)]


@router.post("/", status_code=201)
async def request(body: Request, customer_id: CurrentCustomer, bookings: Bookings) -> dict[str, int]:
    booking = await bookings.request(body.berth_id, body.vessel_id, body.arrives_on, body.leaves_on)
    return {"id": booking.id}


@router.post("/{booking_id}/confirm")
async def confirm(booking_id: int, customer_id: CurrentCustomer, bookings: Bookings) -> dict[str, str]:
    booking = await bookings.confirm(booking_id, f"customer {customer_id}")
    customer = CustomerRepository().get(customer_id)
    if customer is None:
        raise NotFound("customer", customer_id)
    await notifications.confirmed(customer, booking)
    return {"state": booking.state.value}


@router.post("/{booking_id}/cancel")
def cancel(booking_id: int, bookings: Bookings) -> dict[str, str]:
    return {"state": bookings.cancel(booking_id).state.value}


@router.post("/{booking_id}/arrive")
async def arrive(booking_id: int, bookings: Bookings, later: BackgroundTasks) -> dict[str, str]:
    booking = await bookings.arrive(booking_id)
    later.add_task(notifications.mailer.send, "desk@moorings.example", "Arrival", str(booking_id))
    return {"state": booking.state.value}


@router.get("/profile/me")
async def profile(customer_id: CurrentCustomer, customers: Customers) -> dict[str, object]:
    return await customers.profile(customer_id)
