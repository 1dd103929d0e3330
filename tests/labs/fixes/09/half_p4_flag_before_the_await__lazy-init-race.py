"""Says that it is connected before it is: the second call finds no store."""


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._connect, self._limit, self._window = connect, limit, window
        self._store, self._connected = None, False

    async def allow(self, key):
        if not self._connected:
            self._connected = True
            self._store = await self._connect()
        store = self._store
        _, used = await store.transaction(
            ("set", key, 0, {"ex": self._window, "nx": True}), ("incr", key)
        )
        return used <= self._limit
