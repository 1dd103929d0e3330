"""Lab 09, solved: one step in the store counts and gives the counter its end.

The sum that comes back is this call's own, however many run at once and in however many processes.
The lock is for connecting only: the second look inside of it finds what another call has connected.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol


class Store(Protocol):
    """Counters by key; each command is a round trip."""

    async def transaction(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run commands as one step, in one round trip; return their results."""


class Limiter:
    """Allows `limit` calls for a key in `window` seconds; `connect` gives the store."""

    def __init__(
        self, connect: Callable[[], Awaitable[Store]], *, limit: int = 20, window: float = 3600.0
    ) -> None:
        self._connect, self._limit, self._window = connect, limit, window
        self._store: Store | None = None
        self._connecting = asyncio.Lock()

    async def allow(self, key: str) -> bool:
        """Return whether one more is allowed for this key, and count it if so."""
        store = self._store or await self._connected()
        begin = ("set", key, 0, {"ex": self._window, "nx": True})
        _, used = await store.transaction(begin, ("incr", key))
        return bool(used <= self._limit)

    async def _connected(self) -> Store:
        async with self._connecting:
            if self._store is None:
                self._store = await self._connect()
            return self._store
