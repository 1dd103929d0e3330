"""The repository on SQLAlchemy."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..models import Order
from .interfaces import OrderRepository


class SqlOrderRepository(OrderRepository):
    def __init__(self, session: Session) -> None:
        self._session = session

    def by_id(self, order_id):
        return self._session.get(Order, order_id)

    async def by_id_async(self, order_id):
        return self._session.get(Order, order_id)  # expect: blocking-db

    def open_orders(self):
        statement = select(Order).where(Order.open)
        return list(self._session.scalars(statement))

    @property
    def newest(self):
        return self._session.query(Order).order_by(Order.id.desc()).first()

    def label(self, order):
        return f"{order.id}: {order.total}"
