"""Resources closed on one way out only; cancellation lost in `finally`; groups of a bounded size."""

import asyncio

import aiohttp
import asyncpg
import httpx


async def use(session):
    await asyncio.sleep(0)
    return session


async def rounds(count):
    for _ in range(count):
        session = aiohttp.ClientSession()  # expect: unclosed-resource, too-many-connections
        if await use(session) is None:
            continue
        await session.close()


async def early(url):
    conn = await asyncpg.connect(url, timeout=5)  # expect: unclosed-resource
    rows = await conn.fetch("select 1", timeout=5)
    if not rows:
        return None
    await conn.close()
    return rows


async def raises(url):
    client = httpx.AsyncClient()  # expect: unclosed-resource, blocking-file-io
    answer = await client.get(url)
    if answer.status_code != 200:
        raise ValueError(url)
    await client.aclose()
    return answer


async def stops(urls):
    while urls:
        session = aiohttp.ClientSession()  # expect: unclosed-resource, too-many-connections
        if not await use(session):
            break
        await session.close()


async def in_finally(url):
    conn = await asyncpg.connect(url, timeout=5)  # clean: closed on every way out
    try:
        if not await use(conn):
            return None
    finally:
        await conn.close()
    return url


async def closed_before(url):
    conn = await asyncpg.connect(url, timeout=5)  # clean: closed on both ways
    if not await use(conn):
        await conn.close()
        return None
    await conn.close()
    return url


async def not_opened(url):
    conn = await asyncpg.connect(url, timeout=5) if url else None
    if conn is None:
        return None  # clean: there is none
    await conn.close()
    return url


async def inner_loop(url, parts):
    conn = await asyncpg.connect(url, timeout=5)  # clean: the inner loop goes on
    for part in parts:
        if not part:
            continue
        await conn.fetch(part, timeout=5)
    await conn.close()


async def returned(url):
    conn = await asyncpg.connect(url, timeout=5)  # clean: its caller gets it
    if not url:
        return conn
    await conn.close()
    return None


async def swallows(work):
    try:
        await work()
    finally:
        return None  # expect: swallowed-cancellation


async def breaks(jobs):
    while True:
        try:
            await jobs.get()
        finally:
            break  # expect: swallowed-cancellation


async def goes_on(jobs):
    for job in jobs:
        try:
            await job()
        finally:
            continue  # expect: swallowed-cancellation


async def tidies(work, parts):
    try:
        await work()
    finally:
        for part in parts:
            if not part:
                continue  # clean: of the loop in here
            print(part)
    return None


def plain(work):
    try:
        work()
    finally:
        return None  # clean: nothing is cancelled in sync code


async def all_in_batch(batch):
    return await asyncio.gather(*[use(one) for one in batch])  # expect: unbounded-gather


async def all_chunks(store):
    chunks = await store.chunks()
    return await asyncio.gather(*(use(chunk) for chunk in chunks))  # expect: unbounded-gather


async def in_slices(rows):
    for start in range(0, len(rows), 20):
        batch = rows[start : start + 20]
        await asyncio.gather(*[use(one) for one in batch])  # clean: twenty at a time


def chunked(rows, size):
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


async def in_chunks(rows):
    for group in chunked(rows, 20):
        await asyncio.gather(*[use(one) for one in group])  # clean: twenty at a time


async def in_a_list_of_slices(rows):
    batches = [rows[start : start + 20] for start in range(0, len(rows), 20)]
    for batch in batches:
        await asyncio.gather(*[use(one) for one in batch])  # clean: twenty at a time
