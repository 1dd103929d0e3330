"""Lab 09: between these two lines, somebody else ran.

A shop sends codes by text message, at most `limit` per phone in a window of time. It counts them in a
store that all its processes share, such as Valkey. Under load it sends far more. Fix that.

What `Limiter` must do when you are done:

1. Of any number of concurrent calls of `allow(key)`, exactly `limit` return True in a window (all, if
   there are fewer), the others False. Each key is counted by itself.
2. The same holds for several processes that share the store, each with its own Limiter.
3. A key's window ends `window` seconds after the first call counted in it, neither sooner nor later,
   even for somebody who keeps trying. The next call begins a new one.
4. `connect` is awaited at the first call, once, however many calls come at once. If it fails, callers
   get its error or an answer from a later attempt, and the next call connects again.
5. A process may die between any two commands. `window` seconds later the key is free again.
6. Calls for different keys don't wait for each other.
7. What a Limiter keeps in memory does not grow with the number of keys that it has seen.

Keep these names and signatures: `Limiter`, `allow`. The rest is yours to change.

How it is judged: `loopclinic check 09`, or `loopclinic watch 09` for a verdict on every save. The check
passes in a store in memory, in virtual time, and plays a hundred schedules with different latencies. A
window may end one second early or late, and 200 keys at once may take twice as long as one. Objects that
a Limiter and your module hold are counted over 2,000 keys: one more for every two is allowed. For promise 2
your file is imported twice, as two processes do, and the store is also a real Valkey.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol


class Store(Protocol):
    """Counters and strings by key. Each command is one round trip, and is atomic."""

    async def get(self, key: str) -> str | None:
        """Return the value, or None."""

    async def set(
        self, key: str, value: object, *, ex: float | None = None, nx: bool = False
    ) -> bool:
        """Set the value, to expire after `ex` seconds or never; with `nx` only if there is none.

        Return whether it was set.
        """

    async def incr(self, key: str) -> int:
        """Add one, to zero if there is no value; return the sum. The expiry stays as it is."""

    async def expire(self, key: str, seconds: float, *, nx: bool = False) -> bool:
        """Let the value expire after `seconds`; with `nx` only if it has no expiry yet."""

    async def ttl(self, key: str) -> float | None:
        """Return the seconds until it expires; None if there is no value or no expiry."""

    async def delete(self, key: str) -> bool:
        """Remove the value; return whether there was one."""

    async def transaction(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run commands in one round trip, nothing else in between: all, even if one fails, or none.

        Each is a tuple: `("incr", key)`, `("set", key, "1", {"nx": True})`. Return their results.
        """


class Limiter:
    """Allows `limit` calls for a key in `window` seconds; `connect` gives the store."""

    def __init__(
        self, connect: Callable[[], Awaitable[Store]], *, limit: int = 20, window: float = 3600.0
    ) -> None:
        self._connect, self._limit, self._window = connect, limit, window
        self._store: Store | None = None

    async def allow(self, key: str) -> bool:
        """Return whether one more is allowed for this key, and count it if so."""
        if self._store is None:
            self._store = await self._connect()
        used = int(await self._store.get(key) or 0)
        if used >= self._limit:
            return False
        if await self._store.incr(key) == 1:
            await self._store.expire(key, self._window)
        return True
