"""A deque of waiting futures in front of a pool that never has more than it can do."""

import asyncio
from collections import deque
from concurrent.futures import ProcessPoolExecutor
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
        once = 0
        for start in range(len(password)):
            for end in range(start + 1, len(password) + 1):
                once += password.count(password[start:end]) == 1
        if once < 50:
            raise WeakPasswordError("Choose a longer password.")
        return once


def enrolled(passwords, password):
    passwords.strength(password)
    return passwords.hashed(password)


class Accounts:
    def __init__(self, passwords, *, workers=2):
        self._passwords, self._hashes, self._free = passwords, {}, workers
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        self._line, self._closed, self._under_way, self._quiet = deque(), False, 0, asyncio.Event()

    def _next(self):
        while self._free and self._line:
            turn = self._line.popleft()
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
        if not self._under_way and not self._line:
            self._quiet.set()

    def _over(self, _):
        self._free += 1
        self._next()

    async def _compute(self, function, *values):
        if self._closed:
            raise RuntimeError("closed")
        self._under_way += 1
        try:
            turn = asyncio.get_running_loop().create_future()
            self._line.append(turn)
            self._next()
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._free += 1
                raise
            job = asyncio.get_running_loop().run_in_executor(self._pool, function, *values)
            job.add_done_callback(self._over)
            return await asyncio.shield(job)
        finally:
            self._under_way -= 1
            self._next()

    async def register(self, name, password):
        if name in self._hashes:
            raise NameTakenError(name)
        self._hashes[name] = NOBODY
        try:
            self._hashes[name] = await self._compute(enrolled, self._passwords, password)
        except BaseException:
            self._hashes.pop(name)
            raise

    async def verify(self, name, password):
        hashed = self._hashes.get(name, NOBODY)
        return await self._compute(self._passwords.matches, password, hashed)

    async def close(self):
        self._closed = True
        self._quiet.clear()
        self._next()
        await self._quiet.wait()
        await asyncio.to_thread(self._pool.shutdown)
