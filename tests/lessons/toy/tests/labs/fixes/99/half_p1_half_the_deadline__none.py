"""Gives up before the deadline, so that an answer is lost."""

import asyncio


async def lookup_price(supplier, item, *, deadline=2.0):
    async with asyncio.timeout(deadline / 2):
        return await supplier.price(item)
