"""Each process of the pool computes once and is replaced."""

import asyncio
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


def _enrolled(passwords: Passwords, password: str) -> bytes:
    """Return the hash of a password that is strong enough; at the top level, so that it can be sent."""
    passwords.strength(password)
    return passwords.hashed(password)


class Accounts:
    """Names and the hashes of their passwords."""

    def __init__(self, passwords: Passwords, *, workers: int = 2) -> None:
        self._passwords = passwords
        self._hashes: dict[str, bytes] = {}
        # Not forked: a fork copies the locks of this process's threads, as they happen to be.
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1)

    async def register(self, name: str, password: str) -> None:
        """Store the hash of a new name's password."""
        if name in self._hashes:
            raise NameTakenError(name)
        self._hashes[name] = NOBODY
        try:
            self._hashes[name] = await self._compute(_enrolled, self._passwords, password)
        except BaseException:
            del self._hashes[name]
            raise

    async def verify(self, name: str, password: str) -> bool:
        """Return whether it is this name's password."""
        hashed = self._hashes.get(name, NOBODY)
        matches: bool = await self._compute(self._passwords.matches, password, hashed)
        return matches

    async def close(self) -> None:
        """Let the calls in progress finish, and end the workers."""
        await asyncio.to_thread(self._pool.shutdown)

    async def _compute(self, function: Any, *values: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *values)
