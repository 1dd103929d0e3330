from celery.result import AsyncResult
from fastapi import FastAPI

from .celery import app as celery
from .tasks import StockClient, price_update

api = FastAPI()
levels = StockClient()


@api.get("/report/{task_id}")
async def report(task_id: str) -> object:
    return AsyncResult(task_id, app=celery).get(timeout=10)  # expect: blocking-sync-primitive


@api.get("/price/{sku}")
async def price(sku: str) -> object:
    return price_update(sku)  # expect-via: blocking-http


@api.get("/level/{sku}")
async def level(sku: str) -> int:
    return levels.level(sku)  # expect-via: nested-loop


@api.get("/level-sync/{sku}")
def level_sync(sku: str) -> int:
    return levels.level(sku)  # clean: a plain-def endpoint; the loop is named where it is made
