"""One loop after another, and the same objects in both; instances with attributes; threads."""

import asyncio
import threading

import asyncpg

pool = None
gate = asyncio.Lock()  # expect: loop-bound-primitive
other = asyncio.Lock()  # clean: one of the two loops uses it
either = asyncio.Semaphore()  # clean: one branch or the other
early = asyncio.Semaphore()  # clean: the first run returns
shared = asyncio.Event()  # expect: loop-bound-primitive
many = asyncio.Lock()  # expect: loop-bound-primitive
single = asyncio.Lock()  # clean: one thread


async def prepare():
    global pool
    pool = await asyncpg.create_pool("x")  # expect: loop-bound-primitive
    async with gate:
        await asyncio.sleep(0)


async def serve():
    async with pool.acquire() as conn, gate, other:
        await conn.execute("select 1", timeout=5)


def main():
    asyncio.run(prepare())
    asyncio.run(serve())


async def one_way():
    async with either:
        await asyncio.sleep(0)


def cli(fast):
    if fast:
        asyncio.run(one_way())
    else:
        asyncio.run(one_way())


async def first():
    async with early:
        await asyncio.sleep(0)


def run_server(fast):
    if fast:
        asyncio.run(first())
        return
    asyncio.run(first())


async def waiting():
    await shared.wait()


def start_threads():
    threading.Thread(target=asyncio.run, args=(waiting(),)).start()
    threading.Thread(target=asyncio.run, args=(waiting(),)).start()


async def locked():
    async with many:
        await asyncio.sleep(0)


def worker():
    asyncio.run(locked())


def start_workers():
    for _ in range(3):
        threading.Thread(target=worker).start()


async def alone():
    async with single:
        await asyncio.sleep(0)


def lonely():
    asyncio.run(alone())


def start_one():
    threading.Thread(target=lonely).start()


class Limiter:
    def __init__(self):
        self.turn = asyncio.Semaphore(3)  # expect: loop-bound-primitive

    async def call(self):
        async with self.turn:
            await asyncio.sleep(0)


class Fresh:
    def __init__(self):
        self.turn = asyncio.Semaphore(3)  # clean: an instance a loop

    async def call(self):
        async with self.turn:
            await asyncio.sleep(0)


limiter = Limiter()


def setup_main():
    asyncio.run(limiter.call())
    asyncio.run(limiter.call())
    asyncio.run(Fresh().call())
    asyncio.run(Fresh().call())


async def consume(queue):
    await queue.get()


def consumer(queue):
    asyncio.run(consume(queue))  # expect: loop-per-call


async def produce():
    queue = asyncio.Queue()  # expect: loop-bound-primitive
    threading.Thread(target=consumer, args=(queue,)).start()
    await queue.put(1)


class Feed:
    def __init__(self):
        self.items: asyncio.Queue = asyncio.Queue()
        self.done = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def read(self, source):
        for line in source:
            self.items.put_nowait(line)  # expect: loop-bound-primitive
        self.done.set()  # expect: loop-bound-primitive

    def read_well(self, source):
        for line in source:
            self.loop.call_soon_threadsafe(self.items.put_nowait, line)  # clean: on the loop
        return asyncio.run_coroutine_threadsafe(self.items.put(None), self.loop)  # clean: on the loop

    async def start(self, source):
        await asyncio.to_thread(self.read, source)
        threading.Thread(target=self.read_well, args=(source,)).start()
        self.items.put_nowait("end")  # clean: on the loop
