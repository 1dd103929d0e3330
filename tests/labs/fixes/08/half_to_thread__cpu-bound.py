"""asyncio.to_thread around each computation, as the linter says."""

import asyncio

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
        self._passwords, self._hashes, self._closed = passwords, {}, False

    async def register(self, name, password):
        if name in self._hashes:
            raise NameTakenError(name)
        await asyncio.to_thread(self._passwords.strength, password)
        self._hashes[name] = await asyncio.to_thread(self._passwords.hashed, password)

    async def verify(self, name, password):
        if self._closed:
            raise RuntimeError("closed")
        hashed = self._hashes.get(name, NOBODY)
        return await asyncio.to_thread(self._passwords.matches, password, hashed)

    async def close(self):
        self._closed = True
