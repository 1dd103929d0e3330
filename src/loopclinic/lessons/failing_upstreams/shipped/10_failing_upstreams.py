"""Lab 10: one slow dependency takes everything down.

The pages of a shop ask a price service through `Prices`. Some days the service is slow, some days it refuses,
and each time the shop goes down with it. There is a circuit breaker, and it has never opened. Fix that.

What `Prices` must do when you are done:

1. `get(item)` is over within `deadline` seconds, waits and retries included. It returns `Price(value)` with
   what `fetch` returned to it; else the last value known, marked: `Price(value, stale=True)`. With none
   known it raises `UnavailableError`. It never returns None.
2. At most `limit` calls of `fetch` are under way at once, and none goes on without a caller.
3. After `failures` failed calls in a row, none begins for `rest` seconds, and `get` answers at once.
4. Then one call tries whether the service is well, however many callers come; no other begins until it is
   over. If it succeeds, all may call again; if it fails, another rest begins. If its caller is cancelled,
   the next caller tries.
5. A failed call is retried, so that no caller sees the single failure of a healthy service. But retries are
   at most one for ten calls of `get`.
6. Any other error, such as KeyError, comes out of `get` as it is. It is no failure, and is not retried.
7. A cancelled caller ends at once, and its call of `fetch` with it. That is no failure, and other callers
   notice nothing.

A call fails if it raises ConnectionError or TimeoutError, or is not over at its caller's deadline.

Keep these names and signatures: `Prices`, `get`, `Price`, `UnavailableError`. The rest is yours to change.

How it is judged: `loopclinic check 10`, or `loopclinic watch 10` for a verdict on every save. The check
hands in a service in memory, in virtual time. 5 % over the deadline pass, and a tenth of it counts as "at
once". 8 % more or less than `rest` pass. Besides one for ten, three more retries pass. Callers of one item
may share a call, which then goes on while one of them waits for it. The libraries aiobreaker, pybreaker,
purgatory and stamina are there to be used.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from pybreaker import CircuitBreaker


class Price(NamedTuple):
    """A price; `stale` if it is the last one known and not the one of now."""

    value: float
    stale: bool = False


class UnavailableError(Exception):
    """There is no price, not even an old one."""


class Prices:
    """Prices by `await fetch(item)`, from a service that may be slow or down. Times in seconds."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[float]],
        *,
        deadline: float = 1.0,
        limit: int = 10,
        failures: int = 5,
        rest: float = 30.0,
    ) -> None:
        self._fetch, self._deadline, self._limit = fetch, deadline, limit
        self._breaker = CircuitBreaker(fail_max=failures, reset_timeout=rest)
        self._known: dict[str, float] = {}

    async def get(self, item: str) -> Any:
        """Return the price of an item."""
        for _ in range(3):
            try:
                value = await self._breaker.call(self._fetch, item)
            except Exception:
                continue
            self._known[item] = value
            return Price(value)
        return self._known.get(item)
