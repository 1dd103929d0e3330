import asyncio


async def lookup_price(supplier, item, *, deadline=2.0):
    return await asyncio.wait_for(supplier.price(item), deadline)
