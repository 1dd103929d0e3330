"""Clients that every task shares."""

import asyncio

import httpx

http = httpx.AsyncClient(base_url="https://mail.example", timeout=5)  # expect: loop-bound-primitive
sending = asyncio.Semaphore(3)  # expect: loop-bound-primitive


async def send(to: str, body: str) -> int:
    async with sending:
        answer = await http.post("/send", json={"to": to, "body": body})
        return answer.status_code
