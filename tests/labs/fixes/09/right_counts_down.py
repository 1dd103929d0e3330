"""The counter is prefixed and read as a remainder; anyio.Lock for connecting, an lru of nothing."""

import anyio


class _Connection:
    def __init__(self, connect):
        self._connect, self._lock, self._store = connect, anyio.Lock(), None

    async def __call__(self):
        if self._store is None:
            async with self._lock:
                if self._store is None:
                    self._store = await self._connect()
        return self._store


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._store, self._limit, self._window = _Connection(connect), limit, window

    async def allow(self, key):
        store, key = await self._store(), f"sms:{key}"
        used, _ = await store.transaction(
            ("incr", key), ("expire", key, self._window, {"nx": True})
        )
        return self._limit - used >= 0
