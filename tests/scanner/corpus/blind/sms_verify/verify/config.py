from dataclasses import dataclass, field
from os import environ


@dataclass(frozen=True)
class Settings:
    redis_url: str = field(default_factory=lambda: environ.get("REDIS_URL", "redis://localhost"))
    account: str = field(default_factory=lambda: environ.get("TWILIO_ACCOUNT", ""))
    token: str = field(default_factory=lambda: environ.get("TWILIO_TOKEN", ""))
    sender: str = "+15550100"


settings = Settings()
