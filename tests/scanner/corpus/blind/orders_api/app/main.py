from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import func, select

from .db import SessionDep
from .deps import Orders, Service
from .models import Order

router = APIRouter(prefix="/orders")


class NewOrder(BaseModel):
    customer_id: int
    total_cents: int


@router.get("/{order_id}")
async def read_order(order_id: int, session: SessionDep, service: Service) -> dict[str, object]:
    order = session.get(Order, order_id)  # expect: blocking-db
    if order is None:
        raise HTTPException(404)
    return {"id": order.id, "price": service.price(order)}  # clean: formats a number


@router.get("/open/{customer_id}")
async def open_orders(customer_id: int, orders: Orders) -> list[int]:
    found = orders.open_orders(customer_id)  # expect-via: blocking-db
    return [order.id for order in found]


@router.post("/")
async def create_order(body: NewOrder, orders: Orders, session: SessionDep) -> dict[str, int]:
    order = Order(customer_id=body.customer_id, total_cents=body.total_cents)
    orders.add(order)  # clean: the session keeps it in memory until the flush
    session.commit()  # expect: blocking-db
    session.refresh(order)  # expect: blocking-db
    return {"id": order.id}


@router.post("/close/{customer_id}")
async def close_orders(customer_id: int, service: Service) -> dict[str, int]:
    return {"closed": service.close_all(customer_id)}  # expect-via: blocking-db


@router.get("/")
def count_orders(session: SessionDep) -> int:
    return session.scalar(select(func.count(Order.id))) or 0  # clean: a plain-def endpoint


app = FastAPI()
app.include_router(router)
