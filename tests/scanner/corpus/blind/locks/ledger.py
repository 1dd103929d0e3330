"""Balances shared by the loop and by importing threads."""

import asyncio
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import aiohttp


class Ledger:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._aguard = asyncio.Lock()
        self._ready = threading.Event()
        self._aready = asyncio.Event()
        self._imports: queue.Queue[str] = queue.Queue(maxsize=100)
        self._aimports: asyncio.Queue[str] = asyncio.Queue(maxsize=100)
        self._workers = ThreadPoolExecutor(4)
        self._reader: threading.Thread | None = None
        self.balances: dict[str, int] = {}

    async def _rate(self, currency: str) -> int:
        await asyncio.sleep(0)
        return len(currency)

    async def convert(self, account: str, currency: str) -> None:
        with self._guard:  # expect: thread-lock-in-async
            rate = await self._rate(currency)
            self.balances[account] *= rate

    async def convert_well(self, account: str, currency: str) -> None:
        async with self._aguard:  # clean: an asyncio lock
            rate = await self._rate(currency)
            self.balances[account] *= rate

    async def convert_wrongly(self, account: str) -> None:
        with self._aguard:  # expect: sync-cm-mixed
            self.balances[account] += 1

    def _import(self) -> None:
        self._ready.wait()
        while True:
            self._imports.get()

    def start(self) -> None:
        self._reader = threading.Thread(target=self._import, daemon=True)  # clean: in a thread
        self._reader.start()

    async def join(self) -> None:
        if self._reader is not None:
            self._reader.join()  # expect: blocking-sync-primitive

    async def wait_ready(self) -> None:
        self._ready.wait()  # expect: blocking-sync-primitive

    async def wait_ready_well(self) -> None:
        async with asyncio.timeout(10):
            await self._aready.wait()  # clean: an asyncio event

    async def mark_ready(self) -> None:
        self._ready.set()  # clean: sets a flag
        self._aready.set()  # clean: sets a flag

    async def next_import(self) -> str:
        return self._imports.get()  # expect: blocking-sync-primitive

    async def try_import(self) -> str | None:
        try:
            return self._imports.get_nowait()  # clean: never waits
        except queue.Empty:
            return None

    async def push(self, line: str) -> None:
        await self._aimports.put(line)  # clean: an asyncio queue

    async def total(self) -> int:
        pending: Future[int] = self._workers.submit(sum, self.balances.values())  # clean: in the pool
        return pending.result()  # expect: blocking-sync-primitive

    async def total_well(self) -> int:
        pending = self._workers.submit(sum, self.balances.values())  # clean: in the pool
        return await asyncio.wrap_future(pending)

    def _snapshot(self) -> dict[str, int]:
        done = threading.Event()
        self._workers.submit(done.set)
        done.wait(5)
        return dict(self.balances)

    async def snapshot(self) -> dict[str, int]:
        return self._snapshot()  # expect-via: blocking-sync-primitive

    async def close(self) -> None:
        self._workers.shutdown(wait=False)  # clean: does not wait


_session_lock = threading.RLock()


async def fetch_locked(session: aiohttp.ClientSession, path: str) -> bytes:
    with _session_lock:  # expect: thread-lock-in-async
        async with session.get(path) as answer:
            return await answer.read()


async def fetch_with(path: str) -> bytes:
    limit = aiohttp.ClientTimeout(total=5)
    with aiohttp.ClientSession(timeout=limit) as session:  # expect: sync-cm-mixed
        async with session.get(path) as answer:
            return await answer.read()
