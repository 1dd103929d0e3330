"""Counters that keep one number from asking too often."""

import redis

from .config import settings

_client = redis.Redis.from_url(settings.redis_url, decode_responses=True)


class RateLimiter:
    def __init__(self, client: redis.Redis = _client, per_hour: int = 5) -> None:
        self.client = client
        self.per_hour = per_hour

    async def allowed(self, phone: str) -> bool:
        key = self.key(phone)  # clean: builds a string
        count = self.client.incr(key)  # expect: blocking-redis
        if count == 1:
            self.client.expire(key, 3600)  # expect: blocking-redis
        return count <= self.per_hour

    def key(self, phone: str) -> str:
        return f"sms:{phone}"

    def reset(self, phone: str) -> None:
        self.client.delete(self.key(phone))


async def remember(phone: str, code: str) -> None:
    with _client.pipeline() as pipe:
        pipe.set(f"code:{phone}", code)  # clean: queued in the pipeline
        pipe.expire(f"code:{phone}", 600)  # clean: queued in the pipeline
        pipe.execute()  # expect: blocking-redis
