from datetime import date, datetime
from typing import NamedTuple

from ..cache import Cache
from ..config import get_settings
from .http_client import get_json, get_json_sync


class Tide(NamedTuple):
    at: datetime
    height_cm: int
    high: bool


_cache = Cache("tide", 12 * 3600)


def _parse(rows: list[dict]) -> list[Tide]:
    return [Tide(datetime.fromisoformat(row["t"]), row["h"], row["kind"] == "HW") for row in rows]


def tides(port: str, day: date) -> list[Tide]:
    """High and low water; from the cache where we have asked before."""
    key = f"{port}:{day}"
    rows = _cache.get(key)
    if rows is None:
        rows = get_json_sync(f"{get_settings().tides_url}/{port}", day=day.isoformat())
        _cache.put(key, rows)
    return _parse(rows)


async def tides_async(port: str, day: date) -> list[Tide]:
    return _parse(await get_json(f"{get_settings().tides_url}/{port}", day=day.isoformat()))


def lowest(port: str, day: date) -> int:
    return min((tide.height_cm for tide in tides(port, day)), default=0)
