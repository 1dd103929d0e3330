from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

import redis
import redis.asyncio


@dataclass
class Settings:
    url: str
    current: ClassVar[Settings | None] = None

    @classmethod
    def get(cls) -> Settings:
        if cls.current is None:
            cls.current = cls(os.environ["TICKETING_REDIS"])  # clean: no await between check and set
        return cls.current


class Connections:
    """Both clients, while the move to the asynchronous one lasts."""

    def __init__(self, settings: Settings) -> None:
        self.sync = redis.StrictRedis.from_url(settings.url)
        self.aio = redis.asyncio.from_url(settings.url, socket_timeout=2)

    async def close(self) -> None:
        await self.aio.aclose()
