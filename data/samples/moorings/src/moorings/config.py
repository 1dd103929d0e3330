"""Settings, read once from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path


def _env(name: str, default: str = ""):
    return field(default_factory=lambda: os.environ.get(name, default))


@dataclass(frozen=True)
class Settings:
    database_url: str = _env("DATABASE_URL", "postgresql://moorings@localhost/moorings")
    redis_url: str = _env("REDIS_URL", "redis://localhost:6379/0")
    storage_endpoint: str = _env("STORAGE_ENDPOINT", "localhost:9000")
    storage_key: str = _env("STORAGE_KEY", "moorings")
    storage_secret: str = _env("STORAGE_SECRET", "moorings")
    payments_url: str = _env("PAYMENTS_URL", "https://pay.example/v2")
    accounting_url: str = _env("ACCOUNTING_URL", "https://books.example/api")
    crm_url: str = _env("CRM_URL", "https://crm.example/rest")
    tides_url: str = _env("TIDES_URL", "https://tides.example/v1")
    weather_url: str = _env("WEATHER_URL", "https://weather.example/marine")
    smtp_host: str = _env("SMTP_HOST", "localhost")
    twilio_account: str = _env("TWILIO_ACCOUNT")
    twilio_token: str = _env("TWILIO_TOKEN")
    bot_token: str = _env("BOT_TOKEN")
    documents: Path = Path("/var/lib/moorings/documents")

    @property
    def is_production(self) -> bool:
        return "localhost" not in self.database_url


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    return Settings()
