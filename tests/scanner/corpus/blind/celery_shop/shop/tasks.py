import asyncio
import time

import httpx
import requests
from celery import shared_task

from .celery import app
from .clients import send


@shared_task
def mail(to: str, body: str) -> int:
    return asyncio.run(send(to, body))  # clean: accepted in a Celery task


@app.task(bind=True, max_retries=3)
def price_update(self, sku: str) -> float:
    answer = requests.get(f"https://prices.example/{sku}", timeout=5)  # clean: a worker process, no loop
    return answer.json()["price"]


async def _stock(sku: str) -> int:
    async with httpx.AsyncClient(timeout=5) as client:  # expect: blocking-file-io
        return (await client.get(f"https://stock.example/{sku}")).json()["stock"]


@app.task(name="shop.stock")
def stock(sku: str) -> int:
    return asyncio.run(_stock(sku))  # clean: accepted in a Celery task


@shared_task
def nightly() -> None:
    time.sleep(60)  # clean: a worker process, no loop


class StockClient:
    def level(self, sku: str) -> int:
        return asyncio.run(_stock(sku))  # expect: loop-per-call
