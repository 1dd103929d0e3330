"""bcrypt on threads of the default executor, Python in processes, one semaphore for both; two hops in one place."""

import asyncio
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
        self._passwords, self._hashes = passwords, {}
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        self._places, self._closing = asyncio.Semaphore(workers), False
        self._jobs, self._calls = set(), set()

    def _over(self, job):
        self._jobs.discard(job)
        self._places.release()
        job.cancelled() or job.exception()

    async def _enroll(self, password):
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._passwords.strength, password)
        return await asyncio.to_thread(self._passwords.hashed, password)

    async def register(self, name, password):
        if name in self._hashes:
            raise NameTakenError(name)
        self._hashes[name] = NOBODY
        try:
            self._hashes[name] = await self._counted(self._enroll(password))
        except BaseException:
            del self._hashes[name]
            raise

    async def _counted(self, work):
        if self._closing:
            work.close()
            raise RuntimeError("closed")
        me = asyncio.current_task()
        self._calls.add(me)
        try:
            await self._places.acquire()
        except BaseException:
            work.close()
            self._calls.discard(me)
            raise
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._over)
        try:
            return await asyncio.shield(job)
        finally:
            self._calls.discard(me)

    async def verify(self, name, password):
        return await self._counted(
            asyncio.to_thread(self._passwords.matches, password, self._hashes.get(name, NOBODY))
        )

    async def close(self):
        self._closing = True
        while self._calls or self._jobs:
            await asyncio.wait([*self._calls, *self._jobs])
        await asyncio.to_thread(self._pool.shutdown)
