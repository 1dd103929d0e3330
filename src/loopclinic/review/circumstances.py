"""Where and with what a comparison was measured."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

import loopclinic

__all__ = ["Circumstances"]

_TOLD = (
    *("aiohttp", "uvloop", "uvicorn", "fastapi", "starlette", "flask", "django", "quart"),
    *("asyncpg", "psycopg", "sqlalchemy", "redis", "httpx", "requests", "boto3", "pydantic"),
)
"""Libraries whose versions matter to figures, where they are installed and in use."""


@dataclass(frozen=True)
class Circumstances:
    """The machine and the versions, and the moment in UTC."""

    machine: str
    python: str
    versions: tuple[tuple[str, str], ...]
    finished: str
    load_average: float | None = None
    """Of the last minute, as it ended."""

    @classmethod
    def now(cls) -> Self:
        """Look."""
        average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        return cls(
            machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            python=f"{platform.python_implementation()} {platform.python_version()}",
            versions=(("loopclinic", loopclinic.__version__), *_versions()),
            finished=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            load_average=average,
        )

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions)
        busy = "" if self.load_average is None else f"; load average {self.load_average:.1f}"
        return f"{self.machine}{busy}; {self.python}, {versions}; {self.finished}"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; `from_dict` rebuilds it."""
        return {**asdict(self), "versions": dict(self.versions)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild it from `to_dict()`."""
        return cls(**{**values, "versions": tuple(values["versions"].items())})


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in _TOLD:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if name == "aiohttp" or name in sys.modules:
            found.append((name, version))
    return found
