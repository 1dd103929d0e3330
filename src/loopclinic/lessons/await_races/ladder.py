"""The limiter of lesson 09 in five versions ("rungs"), from check-then-count to one atomic command.

Each is `async def rung(store, key, *, limit, window) -> bool`.
"""

import asyncio
from typing import Any
from weakref import WeakValueDictionary

COSTS = {
    "check_then_count": "two trips, and more messages than the limit",
    "locked": "a lock for each key in use; blind for other processes",
    "count_then_expire": "a process that dies in between locks a customer out for good",
    "one_step": "one trip; refused calls count, too, which nobody sees",
    "one_command": "no window at all: what one trip costs",
}
"""What each rung costs, in words."""

_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


async def check_then_count(store: Any, key: str, *, limit: int, window: float) -> bool:
    """Read, compare, count: the anti-pattern."""
    if int(await store.get(key) or 0) >= limit:
        return False
    if await store.incr(key) == 1:
        await store.expire(key, window)
    return True


async def locked(store: Any, key: str, *, limit: int, window: float) -> bool:
    """Do the same under a lock for the key, which ends when nobody holds it: rung 1."""
    async with _locks.setdefault(key, asyncio.Lock()):
        return await check_then_count(store, key, limit=limit, window=window)


async def count_then_expire(store: Any, key: str, *, limit: int, window: float) -> bool:
    """Decide from the sum that the store returns; give the counter its end afterwards: rung 2."""
    used = await store.incr(key)
    if used == 1:
        await store.expire(key, window)
    return bool(used <= limit)


async def one_step(store: Any, key: str, *, limit: int, window: float) -> bool:
    """Begin the window where there is none, and count, in one transaction: rung 3."""
    begin = ("set", key, 0, {"ex": window, "nx": True})
    _, used = await store.transaction(begin, ("incr", key))
    return bool(used <= limit)


async def one_command(store: Any, key: str, *, limit: int, window: float) -> bool:
    """Count, and nothing else: what a single trip to the store costs."""
    del window
    return bool(await store.incr(key) <= limit)
