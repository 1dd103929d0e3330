"""Marine forecast, kept for ten minutes, for everyone who asks."""

import asyncio
import logging
import threading
import time
from typing import Any, Optional

import aiohttp

from ..config import get_settings

logger = logging.getLogger(__name__)


class WeatherService:
    def __init__(self, seconds: float = 600) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._forecast: Optional[dict[str, Any]] = None
        self._fetched = 0.0
        self._session: Optional[aiohttp.ClientSession] = None

    def _stale(self) -> bool:
        return self._forecast is None or time.monotonic() - self._fetched > self.seconds

    async def _fetch(self) -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        async with self._session.get(get_settings().weather_url) as answer:
            return await answer.json()

    async def forecast(self) -> dict[str, Any]:
        with self._lock:
            if self._stale():
                self._forecast = await self._fetch()
                self._fetched = time.monotonic()
        return self._forecast

    async def wind_force(self) -> int:
        forecast = await self.forecast()
        return round((forecast["wind_ms"] / 0.836) ** (2 / 3))

    async def watch(self, every: float = 60.0) -> None:
        while True:
            try:
                force = await self.wind_force()
                if force >= 8:
                    logger.warning("wind force %d", force)
            except:
                logger.exception("no forecast")
            await asyncio.sleep(every)


weather = WeatherService()
