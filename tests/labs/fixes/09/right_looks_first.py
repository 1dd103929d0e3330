"""Asks first whether the key is closed, which costs no write; what decides is the step that counts."""

from contextlib import suppress


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._connect, self._limit, self._window = connect, limit, window
        self._store, self._waiting = None, None

    async def allow(self, key):
        store = self._store or await self._first()
        if int(await store.get(key) or 0) >= self._limit:
            return False
        used, _ = await store.transaction(
            ("incr", key), ("expire", key, self._window, {"nx": True})
        )
        return used <= self._limit

    async def _first(self):
        import asyncio

        while self._waiting is not None:
            with suppress(Exception):
                await asyncio.shield(self._waiting)
        if self._store is None:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                self._store = await self._connect()
            finally:
                done, self._waiting = self._waiting, None
                done.set_result(None)
        return self._store
