"""What an argument, or a look beforehand, switches off."""

import asyncio
import queue
import subprocess
import time
from concurrent.futures import Future

import asyncpg
import psycopg_pool


def fetch(name, wait=False, retries=0):
    if wait:
        time.sleep(1)
    if retries:
        subprocess.run(["curl", name])
    return name


def flush(sync: bool = True):
    if not sync:
        return "later"
    time.sleep(1)
    return "now"


def connect(log=None):
    if log is not None:
        log.write_text("connected")
        time.sleep(1)


def send(name, wait):
    return fetch(name, wait=wait)


async def switched(options):
    fetch("a")  # clean: both are off by default
    fetch("a", False, retries=0)  # clean: off
    fetch("a", wait=True)  # expect-via: blocking-sleep
    fetch("a", wait=options.wait)  # expect-via: blocking-sleep
    fetch("a", retries=3)  # expect-via: blocking-subprocess
    fetch(**options)  # expect-via: blocking-sleep
    fetch(*options)  # expect-via: blocking-sleep
    flush(sync=False)  # clean: it returns before
    flush()  # expect-via: blocking-sleep
    connect()  # clean: there is no log
    connect(options.log)  # expect-via: blocking-sleep
    send("a", options.wait)  # expect-via: blocking-sleep


class Lines:
    def __init__(self):
        self.waiting = queue.Queue()

    async def drain(self):
        while not self.waiting.empty():
            print(self.waiting.get())  # clean: there is one
        if self.waiting.qsize():
            self.waiting.get()  # clean: there is one
        self.waiting.get()  # expect: blocking-sync-primitive

    async def first(self, future: Future):
        if future.done():
            return future.result()  # clean: it is done
        return future.result()  # expect: blocking-sync-primitive


def rows():
    for number in range(3):
        time.sleep(0.1)
        yield number


def total(numbers):
    return sum(numbers)


async def consumed():
    await asyncio.to_thread(list, rows())  # clean: it runs in the thread
    await asyncio.to_thread(total, rows())  # clean: in the thread as well
    await asyncio.to_thread(lambda: [*rows()])  # clean: and so does this
    pulled = rows()
    await asyncio.to_thread(next, pulled)  # clean: one step of it, in the thread
    for row in rows():  # expect-via: blocking-sleep
        print(row)


async def keeps():
    task = None

    def start():
        nonlocal task
        task = asyncio.create_task(asyncio.sleep(1))  # clean: kept by the function around it

    async def watch():
        nonlocal task
        task = asyncio.create_task(asyncio.sleep(1))  # clean: kept as well

    start()
    await watch()
    if task is not None:
        await task


async def windowed(urls, get):
    pending = set()
    for url in urls:
        pending.add(asyncio.create_task(get(url)))
        if len(pending) >= 10:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)  # clean: ten
    await asyncio.wait(pending)  # clean: at most ten are left


async def filled():
    waiting = asyncio.Queue()
    for number in range(200_000):
        waiting.put_nowait(number)  # clean: filling a queue is no computation for a process
    return waiting


class Lazy:
    def __init__(self):
        self.lock = asyncio.Lock()
        self.pool = None

    async def get(self):
        async with self.lock:
            return await self.made()

    async def made(self):
        if self.pool is None:
            self.pool = await asyncio.sleep(0, "pool")  # clean: whoever calls this holds the lock
        return self.pool

    async def by_hand(self):
        await self.lock.acquire()
        try:
            if self.pool is None:
                self.pool = await asyncio.sleep(0, "pool")  # clean: held since above
        finally:
            self.lock.release()


async def opened(pool: psycopg_pool.ConnectionPool):
    pool.open()  # clean: it connects in the background
    pool.open(wait=True)  # expect: blocking-db


async def one_link(link: asyncpg.Connection):
    first = await load_rows(link, "a")  # clean: a connection does one thing at a time
    second = await load_rows(link, "b")
    return first, second


async def load_rows(link: asyncpg.Connection, name):
    return await link.fetch("select $1", name, timeout=5)
