"""multiprocessing.Pool with a semaphore in front; its callbacks come from another thread."""

import asyncio
import multiprocessing

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
        self._pool = multiprocessing.get_context("spawn").Pool(workers)
        self._workers, self._places = workers, asyncio.Semaphore(workers)
        self._closed = False

    async def register(self, name, password):
        if name in self._hashes:
            raise NameTakenError(name)
        self._hashes[name] = NOBODY
        try:
            self._hashes[name] = await self._compute(enrolled, self._passwords, password)
        except BaseException:
            del self._hashes[name]
            raise

    async def verify(self, name, password):
        hashed = self._hashes.get(name, NOBODY)
        return await self._compute(self._passwords.matches, password, hashed)

    async def close(self):
        self._closed = True
        for _ in range(self._workers):
            await self._places.acquire()
        self._pool.close()
        await asyncio.to_thread(self._pool.join)

    async def _compute(self, function, *values):
        if self._closed:
            raise RuntimeError("closed")
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        answer = loop.create_future()

        def over(settle, value):
            self._places.release()
            if not answer.done():
                settle(value)

        def done(settle):
            return lambda value: loop.call_soon_threadsafe(over, settle, value)

        self._pool.apply_async(
            function,
            values,
            callback=done(answer.set_result),
            error_callback=done(answer.set_exception),
        )
        return await answer
