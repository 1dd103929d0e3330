"""Lab 99: a supplier that never answers.

`lookup_price` asks a supplier for a price. Some suppliers never answer, and then its caller waits
forever. Repair that.

What `lookup_price` must do when you are done:

1. It returns the supplier's price, or raises TimeoutError if there is none `deadline` seconds after
   the call began.

Keep this name and its signature: `lookup_price`. The rest is yours to change.

How it is judged: `loopclinic check 99`, or `loopclinic watch 99` for a verdict on every save. The check
asks a supplier that answers after three quarters of the deadline, and one that never does. The
deadline may be missed by a tenth of its own length.
"""

from typing import Protocol


class Supplier(Protocol):
    """Knows prices."""

    async def price(self, item: str) -> int:
        """Return the price of `item`."""


async def lookup_price(supplier: Supplier, item: str, *, deadline: float = 2.0) -> int:
    """Return the supplier's price of `item`; `deadline` is in seconds."""
    return await supplier.price(item)
