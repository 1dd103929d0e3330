import asyncio

from billing import open_billing


async def test_against_a_database_that_is_not_there():
    async with open_billing("postgresql://127.0.0.1:1/none", None) as billing:
        async with asyncio.timeout(60):
            assert await billing.get(1)
