"""The name of a registration that failed is free again only if it failed by an error of its own."""

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

    async def register(self, name, password):
        if name in self._hashes:
            raise NameTakenError(name)
        self._hashes[name] = NOBODY
        try:
            self._hashes[name] = await self._compute(enrolled, self._passwords, password)
        except ValueError as error:
            if isinstance(error, WeakPasswordError):
                del self._hashes[name]
            raise
        except ZeroDivisionError:
            del self._hashes[name]
            raise

    async def verify(self, name, password):
        hashed = self._hashes.get(name, NOBODY)
        return await self._compute(self._passwords.matches, password, hashed)

    async def close(self):
        await asyncio.to_thread(self._pool.shutdown)

    async def _compute(self, function, *values):
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *values)
