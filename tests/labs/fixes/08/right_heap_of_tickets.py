"""A heap of tickets before a pool of processes; a call that was cancelled is passed over."""

import asyncio
import heapq
import itertools
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import bcrypt

NOBODY = b"$2b$12$E9EN8h9Q0GULJvLkt6Bc/e5na7Iy4wjpmsfu3ZwrkHZPs.wJ1EfA."
"""A hash that no password has."""


class NameTakenError(ValueError):
    """Somebody else has this name."""


class WeakPasswordError(ValueError):
    """This password is guessed soon."""


class Passwords:
    """What is computed. An instance can be sent to another process."""

    def hashed(self, password: str) -> bytes:
        """Return the hash of a password, at most 72 bytes long: a fifth of a second, without the GIL."""
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt())

    def matches(self, password: str, hashed: bytes) -> bool:
        """Return whether the hash is that of this password: as long, and without the GIL."""
        return bcrypt.checkpw(password.encode(), hashed)

    def strength(self, password: str) -> int:
        """Return how many pieces of a password occur once in it: pure Python, which keeps the GIL."""
        once = 0
        for start in range(len(password)):
            for end in range(start + 1, len(password) + 1):
                once += password.count(password[start:end]) == 1
        if once < 50:
            raise WeakPasswordError("Choose a longer password.")
        return once


def _enrolled(passwords, password):
    passwords.strength(password)
    return passwords.hashed(password)


class Accounts:
    """A heap of tickets, workers that are tasks, and a pool."""

    def __init__(self, passwords: Passwords, *, workers: int = 2) -> None:
        self._passwords, self._hashes, self._n = passwords, {}, workers
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        self._tickets, self._heap, self._running, self._closing = itertools.count(), [], set(), None

    def _pump(self):
        while self._heap and len(self._running) < self._n:
            _, future, work = heapq.heappop(self._heap)
            if not future.done():
                task = asyncio.get_running_loop().run_in_executor(self._pool, *work)
                self._running.add(task)
                task.add_done_callback(lambda task, future=future: self._over(task, future))
        if not self._running and not self._heap and self._closing and not self._closing.done():
            self._closing.set_result(None)

    def _over(self, task, future):
        self._running.discard(task)
        error = task.exception()
        if not future.done():
            future.set_exception(error) if error else future.set_result(task.result())
        self._pump()

    async def _compute(self, *work):
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (next(self._tickets), future, work))
        self._pump()
        return await future

    async def register(self, name: str, password: str) -> None:
        self._look()
        if name in self._hashes:
            raise NameTakenError(name)
        self._hashes[name] = NOBODY
        try:
            self._hashes[name] = await self._compute(_enrolled, self._passwords, password)
        except BaseException:
            self._hashes.pop(name)
            raise

    async def verify(self, name: str, password: str) -> bool:
        self._look()
        return await self._compute(self._passwords.matches, password, self._hashes.get(name, NOBODY))

    def _look(self):
        if self._closing:
            raise RuntimeError("closed")

    async def close(self) -> None:
        self._closing = asyncio.get_running_loop().create_future()
        self._pump()
        await self._closing
        await asyncio.to_thread(self._pool.shutdown)
