"""Calls for one key that come together share one transaction."""

import asyncio


class Limiter:
    def __init__(self, connect, *, limit=20, window=3600.0):
        self._connect, self._limit, self._window = connect, limit, window
        self._store, self._lock, self._waiting = None, asyncio.Lock(), {}

    async def _ready(self):
        async with self._lock:
            if self._store is None:
                self._store = await self._connect()
        return self._store

    async def allow(self, key):
        mine = asyncio.get_running_loop().create_future()
        batch = self._waiting.setdefault(key, [])
        batch.append(mine)
        if len(batch) == 1:
            await self._send(key)
        return await mine

    async def _send(self, key):
        try:
            store = await self._ready()
            await asyncio.sleep(0)
        except BaseException as error:
            for one in self._waiting.pop(key):
                one.done() or one.set_exception(error)
            return
        batch = self._waiting.pop(key)
        begin = ("set", key, 0, {"ex": self._window, "nx": True})
        try:
            _, *sums = await store.transaction(begin, *[("incr", key)] * len(batch))
        except BaseException as error:
            for one in batch:
                one.done() or one.set_exception(error)
            return
        for one, used in zip(batch, sums, strict=True):
            one.done() or one.set_result(used <= self._limit)
