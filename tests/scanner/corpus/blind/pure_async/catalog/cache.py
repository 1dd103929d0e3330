import json
from typing import Any

from redis.asyncio import Redis


class Cache:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def get(self, key: str) -> Any:
        raw = await self.redis.get(key)  # clean: the asyncio client
        return json.loads(raw) if raw else None  # clean: small JSON

    async def put(self, key: str, value: Any) -> None:
        async with self.redis.pipeline() as pipe:
            pipe.set(key, json.dumps(value))  # clean: queued in the pipeline
            pipe.expire(key, 60)  # clean: queued in the pipeline
            await pipe.execute()  # clean: the asyncio client
