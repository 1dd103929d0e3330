from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from .models import Order


class OrderRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def open_orders(self, customer_id: int) -> Sequence[Order]:
        stmt = select(Order).where(Order.customer_id == customer_id, Order.state == "open")
        return self._session.scalars(stmt).all()

    def close(self, order_id: int) -> None:
        self._session.execute(update(Order).where(Order.id == order_id).values(state="closed"))

    def add(self, order: Order) -> None:
        self._session.add(order)
