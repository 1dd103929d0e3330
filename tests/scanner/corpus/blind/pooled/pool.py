"""Connections that are made when they are first needed."""

import asyncio

import asyncpg
import redis.asyncio as aioredis

_pool: asyncpg.Pool | None = None
_lock = asyncio.Lock()


async def get_pool() -> asyncpg.Pool:
    global _pool
    if _pool is None:
        _pool = await asyncpg.create_pool("postgresql:///app", command_timeout=5)  # expect: lazy-init-race
    return _pool


async def get_pool_safely() -> asyncpg.Pool:
    global _pool
    if _pool is None:
        async with _lock:
            if _pool is None:
                _pool = await asyncpg.create_pool("postgresql:///app", command_timeout=5)  # clean: checked under the lock
    return _pool


async def close_pool() -> None:
    global _pool
    if _pool is not None:
        await _pool.close()
        _pool = None


class Cache:
    def __init__(self, url: str) -> None:
        self.url = url
        self._redis: aioredis.Redis | None = None
        self._schema: dict[str, str] = {}
        self._loading = asyncio.Lock()

    async def client(self) -> aioredis.Redis:
        if not self._redis:
            self._redis = await aioredis.from_url(self.url, socket_timeout=2)  # expect: lazy-init-race
        return self._redis

    async def schema(self, table: str) -> str:
        if table not in self._schema:
            self._schema[table] = await self._describe(table)  # expect: lazy-init-race
        return self._schema[table]

    async def schema_locked(self, table: str) -> str:
        async with self._loading:
            if table not in self._schema:
                self._schema[table] = await self._describe(table)  # clean: under the lock
            return self._schema[table]

    async def _describe(self, table: str) -> str:
        client = await self.client()
        return str(await client.get(f"schema:{table}"))  # clean: the asyncio client

    def prefix(self) -> str:
        if not hasattr(self, "_prefix"):
            self._prefix = self.url.rsplit("/", 1)[-1]  # clean: no await between check and set
        return self._prefix

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None
