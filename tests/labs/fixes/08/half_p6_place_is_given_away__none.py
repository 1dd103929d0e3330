"""A call that is cancelled gives its place back while it is computed."""

import asyncio
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context

import bcrypt

NOBODY = b"$2b$12$E9EN8h9Q0GULJvLkt6Bc/e5na7Iy4wjpmsfu3ZwrkHZPs.wJ1EfA."


class NameTakenError(ValueError):
    pass


class WeakPasswordError(ValueError):
    pass


class Passwords:
    def hashed(self, password):
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt())

    def matches(self, password, hashed):
        return bcrypt.checkpw(password.encode(), hashed)

    def strength(self, password):
        if len(set(password)) < 8:
            raise WeakPasswordError("Choose a longer password.")
        return len(password)


class Accounts:
    def __init__(self, passwords, *, workers=2):
        self._passwords, self._hashes = passwords, {}
        self._places = asyncio.Semaphore(workers)
        self._threads = ThreadPoolExecutor(workers)
        self._processes = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        self._calls, self._idle, self._closed = 0, asyncio.Event(), False

    async def register(self, name, password):
        async with self._call():
            if name in self._hashes:
                raise NameTakenError(name)
            self._hashes[name] = NOBODY
            try:
                await self._compute(self._processes, self._passwords.strength, password)
                self._hashes[name] = await self._compute(
                    self._processes, self._passwords.hashed, password
                )
            except BaseException:
                del self._hashes[name]
                raise

    async def verify(self, name, password):
        async with self._call():
            hashed = self._hashes.get(name, NOBODY)
            return await self._compute(self._threads, self._passwords.matches, password, hashed)

    async def close(self):
        self._closed = True
        if self._calls:
            await self._idle.wait()
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._processes.shutdown)

    @asynccontextmanager
    async def _call(self):
        if self._closed:
            raise RuntimeError("closed")
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if self._closed and not self._calls:
                self._idle.set()

    async def _compute(self, pool, function, *values):
        async with self._places:
            return await asyncio.wrap_future(pool.submit(function, *values))
