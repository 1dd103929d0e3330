"""Tries twice, and each attempt has the whole deadline."""

import asyncio


async def lookup_price(supplier, item, *, deadline=2.0):
    try:
        async with asyncio.timeout(deadline):
            return await supplier.price(item)
    except TimeoutError:
        async with asyncio.timeout(deadline):
            return await supplier.price(item)
