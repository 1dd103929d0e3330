"""Calls are served in the order of names."""

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
        if len(set(password)) < 8:
            raise WeakPasswordError("Choose a longer password.")
        return len(password)


def enrolled(passwords, password):
    passwords.strength(password)
    return passwords.hashed(password)


class Accounts:
    def __init__(self, passwords, *, workers=2):
        self._passwords, self._hashes = passwords, {}
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        self._jobs, self._number, self._closed = asyncio.PriorityQueue(), 0, False
        self._tasks = [asyncio.create_task(self._work()) for _ in range(workers)]

    async def register(self, name, password):
        if name in self._hashes:
            raise NameTakenError(name)
        self._hashes[name] = NOBODY
        try:
            self._hashes[name] = await self._compute(name, enrolled, self._passwords, password)
        except BaseException:
            del self._hashes[name]
            raise

    async def verify(self, name, password):
        hashed = self._hashes.get(name, NOBODY)
        return await self._compute(name, self._passwords.matches, password, hashed)

    async def close(self):
        self._closed = True
        await self._jobs.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await asyncio.to_thread(self._pool.shutdown)

    async def _compute(self, name, function, *values):
        if self._closed:
            raise RuntimeError("closed")
        answer = asyncio.get_running_loop().create_future()
        self._number += 1
        self._jobs.put_nowait((name, self._number, answer, function, values))
        return await answer

    async def _work(self):
        loop = asyncio.get_running_loop()
        while True:
            *_, answer, function, values = await self._jobs.get()
            try:
                if answer.done():
                    continue
                result = await loop.run_in_executor(self._pool, function, *values)
                if not answer.done():
                    answer.set_result(result)
            except Exception as error:
                if not answer.done():
                    answer.set_exception(error)
            finally:
                self._jobs.task_done()
