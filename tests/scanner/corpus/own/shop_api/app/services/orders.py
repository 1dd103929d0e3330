"""Order service: half of it sync."""

import asyncio
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session

from app.db import SessionLocal, get_db, unit_of_work
from app.models import Order
from app.repositories.interfaces import OrderRepository
from app.repositories.sql import SqlOrderRepository

Db = Annotated[Session, Depends(get_db)]


class OrderService:
    def __init__(self, repository: OrderRepository, db: Session = Depends(get_db)) -> None:
        self.repository = repository
        self.orders = SqlOrderRepository(db)
        self.db = db

    async def show(self, order_id: int):
        return self.repository.by_id(order_id)  # expect-via: blocking-db

    async def all_open(self):
        return self.orders.open_orders()  # expect-via: blocking-db

    async def latest(self):
        return self.orders.newest  # expect-via: blocking-db

    async def in_thread(self):
        return await asyncio.to_thread(self.orders.open_orders)  # clean: a reference, run in a thread

    async def in_executor(self, order_id: int):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self.repository.by_id, order_id)  # clean: a reference, run in a thread

    async def with_lambda(self, order_id: int):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, lambda: self.repository.by_id(order_id))  # clean: the lambda runs in a thread

    async def label(self, order: Order):
        return self.orders.label(order)  # clean: formats only

    async def describe(self, order_id: int):
        return self.repository.describe(order_id)  # clean: formats only

    async def total(self):
        rows = self.db.query(Order).filter(Order.open).all()  # expect: blocking-db
        return sum(row.total for row in rows)

    async def query_without_running_it(self):
        return self.db.query(Order).filter(Order.open)  # clean: builds a query

    def total_sync(self):
        return self.db.query(Order).count()  # clean: sync code


async def cancel(order_id: int, db: Db):
    order = db.get(Order, order_id)  # expect: blocking-db
    order.open = False
    db.commit()  # expect: blocking-db


async def place(order: Order):
    with unit_of_work() as session:  # expect-via: blocking-db
        session.add(order)


async def place_by_hand(order: Order):
    with SessionLocal() as session:  # clean: opens no connection yet
        session.add(order)
        session.flush()  # expect: blocking-db


async def chained():
    session = SessionLocal()
    return (
        session.query(Order)  # expect: blocking-db
        .filter(Order.open)
        .order_by(Order.id)
        .all()
    )
