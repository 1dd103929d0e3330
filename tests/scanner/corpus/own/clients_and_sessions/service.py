"""HTTP clients for each call, sessions for several tasks, generators left early; and each of them right."""

import asyncio
from contextlib import aclosing

import aiohttp
import asyncpg
import httpx
from fastapi import Depends, FastAPI
from openai import AsyncOpenAI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from models import User

app = FastAPI()
openai = AsyncOpenAI()  # clean: one for all
Session = async_sessionmaker(create_async_engine("postgresql+asyncpg://localhost/shop"))


@app.get("/rates")
async def rates(url: str):
    async with httpx.AsyncClient(timeout=5) as client:  # expect: too-many-connections, blocking-file-io
        return (await client.get(url)).json()


@app.post("/ask")
async def ask(text: str):
    client = AsyncOpenAI()  # expect: too-many-connections, blocking-file-io
    return await client.responses.create(model="small", input=text, timeout=30)


@app.post("/tell")
async def tell(text: str):
    return await openai.responses.create(model="small", input=text, timeout=30)  # clean: made once


async def fetch(url: str) -> str:
    async with aiohttp.ClientSession() as session:  # expect: too-many-connections
        async with session.get(url) as answer:
            return await answer.text()


async def fetch_by(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as answer:
        return await answer.text()


async def sizes(urls: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for url in urls:
        found[url] = len(await fetch(url)) + len(found)
    return found


async def sizes_by_one(urls: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    async with aiohttp.ClientSession() as session:  # clean: one for all
        for url in urls:
            found[url] = len(await fetch_by(session, url)) + len(found)
    return found


async def pages(urls: list[str]) -> list[str]:
    found: list[str] = []
    for url in urls:
        async with httpx.AsyncClient(timeout=5) as client:  # expect: too-many-connections, blocking-file-io
            found.append((await client.get(url)).text + str(len(found)))
    return found


async def follow(url: str) -> None:
    while True:
        try:
            async with aiohttp.ClientSession() as session:  # clean: one for each attempt
                async with session.ws_connect(url) as line:
                    async for message in line:
                        print(message)
        except aiohttp.ClientError:
            await asyncio.sleep(1)


async def users(ids: list[int]):
    async with Session() as session:
        return await asyncio.gather(*(session.get(User, one) for one in ids))  # expect: shared-connection


async def totals(session: AsyncSession = Depends(Session)):
    return await asyncio.gather(  # expect: shared-connection
        session.scalar("select count(*) from orders"), session.scalar("select sum(due) from orders")
    )


async def totals_of_two():
    async with Session() as one, Session() as other:
        return await asyncio.gather(  # clean: a session each
            one.scalar("select count(*) from orders"), other.scalar("select sum(due) from orders")
        )


async def totals_in_turn(session: AsyncSession):
    count = await session.scalar("select count(*) from orders")
    return count, await session.scalar("select sum(due) from orders where count > :count", {"count": count})


async def counts(dsn: str):
    connection = await asyncpg.connect(dsn)
    try:
        return await asyncio.gather(  # expect: shared-connection
            connection.fetchval("select 1", timeout=5), connection.fetchval("select 2", timeout=5)
        )
    finally:
        await connection.close()


async def counts_by_pool(pool: asyncpg.Pool):
    return await asyncio.gather(  # clean: each takes a connection of its own
        pool.fetchval("select 1", timeout=5), pool.fetchval("select 2", timeout=5)
    )


async def rows(session: aiohttp.ClientSession, urls: list[str]):
    for url in urls:
        async with session.get(url) as answer:
            yield await answer.json()


async def numbers():
    for number in range(10):
        await asyncio.sleep(0)
        yield number


async def first_large(session: aiohttp.ClientSession, urls: list[str]):
    async for row in rows(session, urls):  # expect: unclosed-resource
        if row["size"] > 10:
            return row
    return None


async def until_small(session: aiohttp.ClientSession, urls: list[str]) -> int:
    total = 0
    async for row in rows(session, urls):  # expect: unclosed-resource
        if row["size"] < 10:
            break
        total += row["size"]
    return total


async def first_large_closed(session: aiohttp.ClientSession, urls: list[str]):
    async with aclosing(rows(session, urls)) as found:
        async for row in found:  # clean: closed by the scope
            if row["size"] > 10:
                return row
    return None


async def all_rows(session: aiohttp.ClientSession, urls: list[str]) -> int:
    total = 0
    async for row in rows(session, urls):  # clean: to its end
        for size in row["sizes"]:
            if size < 0:
                break
            total += size
    return total


async def first_odd():
    async for number in numbers():  # clean: it holds nothing open
        if number % 2:
            return number
    return None
