"""Interpreters with a GIL each where Python has them, else processes; threads for bcrypt, one semaphore."""

import asyncio
from concurrent import futures
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
        self._threads = futures.ThreadPoolExecutor(workers)
        if hasattr(futures, "InterpreterPoolExecutor"):
            self._others = futures.InterpreterPoolExecutor(workers)
        else:
            context = get_context("spawn")
            self._others = futures.ProcessPoolExecutor(workers, mp_context=context)
        self._calls, self._idle, self._closed = 0, asyncio.Event(), False

    async def register(self, name, password):
        async with self._call():
            if name in self._hashes:
                raise NameTakenError(name)
            self._hashes[name] = NOBODY
            try:
                await self._compute(self._others, self._passwords.strength, password)
                self._hashes[name] = await self._compute(
                    self._threads, self._passwords.hashed, password
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
        await asyncio.to_thread(self._others.shutdown)

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
        await self._places.acquire()
        future, loop = pool.submit(function, *values), asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._places.release))
        return await asyncio.wrap_future(future)
