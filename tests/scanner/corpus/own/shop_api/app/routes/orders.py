"""Routes: FastAPI runs the sync ones in threads."""

from typing import Annotated, Optional

from fastapi import APIRouter, BackgroundTasks, Depends
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from ..db import get_db
from ..models import Order
from ..services import orders as service
from ..services.orders import OrderService

router = APIRouter()


def audit(order_id: int) -> None:
    with open("audit.log", "a") as log:
        log.write(f"{order_id}\n")


@router.get("/orders/{order_id}")
def read(order_id: int, db: Session = Depends(get_db)):
    return db.get(Order, order_id)  # clean: a sync route runs in a thread


@router.get("/async/{order_id}")
async def read_async(order_id: int, db: Session = Depends(get_db)):
    return db.get(Order, order_id)  # expect: blocking-db


@router.get("/untyped/{order_id}")
async def read_untyped(order_id: int, db=Depends(get_db)):
    return db.get(Order, order_id)  # expect: blocking-db


@router.get("/annotated/{order_id}")
async def read_annotated(order_id: int, db: Annotated[Session, Depends(get_db)]):
    return db.execute("select 1").scalar()  # expect: blocking-db


@router.get("/optional")
async def read_optional(db: Optional[Session] = None):
    if db is not None:
        db.rollback()  # expect: blocking-db


@router.post("/orders")
async def create(order: Order, tasks: BackgroundTasks):
    tasks.add_task(audit, order.id)  # clean: a background task of a sync function runs in a thread
    await service.place(order)
    await run_in_threadpool(audit, order.id)  # clean: a reference, run in a thread


@router.delete("/orders/{order_id}")
async def delete(order_id: int, orders: OrderService = Depends()):
    audit(order_id)  # expect-via: blocking-file-io
    await orders.show(order_id)


@router.get("/dict")
async def lookup(settings: dict):
    return settings.get("currency", "EUR")  # clean: a dict's get
