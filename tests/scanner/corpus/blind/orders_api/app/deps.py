from typing import Annotated

from fastapi import Depends

from .db import SessionDep
from .repository import OrderRepository
from .service import OrderService


def order_repository(session: SessionDep) -> OrderRepository:
    return OrderRepository(session)


def order_service(orders: Annotated[OrderRepository, Depends(order_repository)]) -> OrderService:
    return OrderService(orders)


Orders = Annotated[OrderRepository, Depends(order_repository)]
Service = Annotated[OrderService, Depends(order_service)]
