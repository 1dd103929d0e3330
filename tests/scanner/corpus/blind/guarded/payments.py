"""Charges cards; the provider fails now and then."""

import asyncio
import random
import time
from typing import Any

import backoff
import httpx
import requests
import stripe
from tenacity import retry, stop_after_attempt, wait_exponential

from breakers import circuit, payments


class Payments:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def _charge(self, cents: int) -> dict[str, Any]:
        return (await self.client.post("/charges", json={"amount": cents})).json()

    async def charge(self, cents: int) -> dict[str, Any]:
        return await payments.call(self._charge, cents)  # expect: sync-circuit-breaker

    async def charge_guarded(self, cents: int) -> dict[str, Any]:
        with payments.calling():  # expect: sync-circuit-breaker
            return await self._charge(cents)

    @payments  # expect: sync-circuit-breaker
    async def refund(self, charge: str) -> None:
        await self.client.post(f"/charges/{charge}/refund")

    @circuit(failure_threshold=5)  # clean: this library wraps async functions too
    async def status(self, charge: str) -> dict[str, Any]:
        return (await self.client.get(f"/charges/{charge}")).json()

    @retry(stop=stop_after_attempt(3), wait=wait_exponential(max=4))  # clean: tenacity sleeps with asyncio here
    async def capture(self, charge: str) -> None:
        await self.client.post(f"/charges/{charge}/capture")

    @backoff.on_exception(backoff.expo, httpx.HTTPError, max_tries=3)  # clean: backoff knows async functions
    async def cancel(self, charge: str) -> None:
        await self.client.delete(f"/charges/{charge}")


@retry(stop=stop_after_attempt(3), wait=wait_exponential(max=4))
def exchange_rate(currency: str) -> float:
    answer = requests.get(f"https://rates.example/{currency}", timeout=3)
    return answer.json()["rate"]


@backoff.on_exception(backoff.expo, requests.RequestException, max_tries=4)
def vat(country: str) -> float:
    return requests.get(f"https://vat.example/{country}", timeout=3).json()["rate"]


def gross(cents: int, currency: str) -> int:
    return round(cents * exchange_rate(currency))


async def quote(cents: int, currency: str) -> int:
    return gross(cents, currency)  # expect-via: blocking-retry


async def tax(cents: int, country: str) -> int:
    return round(cents * vat(country))  # expect-via: blocking-retry


async def settle(client: httpx.AsyncClient, charge: str) -> bool:
    for attempt in range(5):
        try:
            answer = await client.post(f"/charges/{charge}/settle")
            answer.raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.5 * 2**attempt + random.random())  # expect: blocking-retry
        else:
            return True
    return False


async def settle_well(client: httpx.AsyncClient, charge: str) -> bool:
    for attempt in range(5):
        try:
            answer = await client.post(f"/charges/{charge}/settle")
            answer.raise_for_status()
        except httpx.HTTPError:
            await asyncio.sleep(0.5 * 2**attempt + random.random())  # clean: asyncio's own sleep
        else:
            return True
    return False


async def customer(email: str) -> str:
    return stripe.Customer.create(email=email).id  # expect: blocking-sdk


def _invoice(customer_id: str) -> str:
    return stripe.Invoice.create(customer=customer_id).id


async def invoice(customer_id: str) -> str:
    return _invoice(customer_id)  # expect-via: blocking-sdk
