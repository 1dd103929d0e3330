"""Lab 99, solved: one deadline around the whole lookup.

`asyncio.timeout` cancels whatever the lookup waits for and raises TimeoutError in its place, so the
caller can tell that the deadline passed.
"""

import asyncio
from typing import Protocol


class Supplier(Protocol):
    """Knows prices."""

    async def price(self, item: str) -> int:
        """Return the price of `item`."""


async def lookup_price(supplier: Supplier, item: str, *, deadline: float = 2.0) -> int:
    """Return the supplier's price of `item`; `deadline` is in seconds.

    Raises:
        TimeoutError: the supplier did not answer in time.
    """
    async with asyncio.timeout(deadline):
        return await supplier.price(item)
