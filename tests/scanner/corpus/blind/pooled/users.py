from pool import Cache, get_pool_safely


class Users:
    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    async def find(self, user_id: int) -> dict[str, object] | None:
        pool = await get_pool_safely()
        async with pool.acquire() as connection:  # clean: asyncpg
            row = await connection.fetchrow("select * from users where id = $1", user_id)  # clean: asyncpg
        return dict(row) if row else None

    async def rename(self, user_id: int, name: str) -> None:
        pool = await get_pool_safely()
        with pool.acquire() as connection:  # expect: sync-cm-mixed
            await connection.execute("update users set name = $1 where id = $2", name, user_id)
