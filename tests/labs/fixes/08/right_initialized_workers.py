"""A pool whose processes are given the passwords once, by an initializer."""

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


_passwords = None


def begin(passwords):
    global _passwords
    _passwords = passwords


def compute(name, *values):
    if name == "enrolled":
        return enrolled(_passwords, *values)
    return getattr(_passwords, name)(*values)


class Accounts:
    def __init__(self, passwords, *, workers=2):
        self._hashes = {}
        self._pool = ProcessPoolExecutor(
            workers, mp_context=get_context("forkserver"), initializer=begin, initargs=[passwords]
        )

    def _compute(self, *values):
        return asyncio.wrap_future(self._pool.submit(compute, *values))

    async def register(self, name, password):
        if self._hashes.setdefault(name, NOBODY) is not NOBODY or name in self.__dict__.setdefault(
            "_taking", set()
        ):
            raise NameTakenError(name)
        self._taking.add(name)
        try:
            self._hashes[name] = await self._compute("enrolled", password)
        except BaseException:
            del self._hashes[name]
            raise
        finally:
            self._taking.discard(name)

    async def verify(self, name, password):
        return await self._compute("matches", password, self._hashes.get(name, NOBODY))

    async def close(self):
        await asyncio.to_thread(self._pool.shutdown)
