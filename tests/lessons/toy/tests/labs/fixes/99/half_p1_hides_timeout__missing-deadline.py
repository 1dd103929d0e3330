"""Ends in time, but the caller can't tell that the deadline passed."""

import asyncio


async def lookup_price(supplier, item, *, deadline=2.0):
    try:
        async with asyncio.timeout(deadline):
            return await supplier.price(item)
    except TimeoutError:
        return None
