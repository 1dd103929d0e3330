"""Redis, for what may be lost: quotes, availability, rate limits."""

import json
import logging
from typing import Any, Optional

import redis

from .config import get_settings

logger = logging.getLogger(__name__)

_client: Optional[redis.Redis] = None


def get_redis() -> redis.Redis:
    global _client
    if _client is None:
        _client = redis.Redis.from_url(get_settings().redis_url, decode_responses=True)
    return _client


class Cache:
    def __init__(self, prefix: str, seconds: int = 300) -> None:
        self.prefix = prefix
        self.seconds = seconds

    def _key(self, key: str) -> str:
        return f"{self.prefix}:{key}"

    def get(self, key: str) -> Any:
        raw = get_redis().get(self._key(key))
        if raw is None:
            return None
        return json.loads(raw)

    def put(self, key: str, value: Any) -> None:
        get_redis().setex(self._key(key), self.seconds, json.dumps(value, default=str))

    def drop(self, key: str) -> None:
        get_redis().delete(self._key(key))


async def too_many(who: str, limit: int, seconds: int = 60) -> bool:
    """Count one more attempt; true when there were too many."""
    client = get_redis()
    key = f"limit:{who}"
    count = client.incr(key)
    if count == 1:
        client.expire(key, seconds)
    if count > limit:
        logger.warning("%s is over the limit of %d", who, limit)
    return count > limit
