import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar
from urllib.request import urlopen

import urllib3

P = ParamSpec("P")
R = TypeVar("R")


def in_thread(func: Callable[P, R]) -> Callable[P, Awaitable[R]]:
    @functools.wraps(func)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(func, *args, **kwargs)  # clean: in a thread

    return wrapper


class Weather:
    def __init__(self) -> None:
        self.http = urllib3.PoolManager()

    def _load(self, city: str) -> dict[str, object]:
        return self.http.request("GET", f"https://weather.example/{city}").json()

    def summary(self, city: str) -> str:
        data = self._load(city)
        return f"{data['sky']}, {data['degrees']} degrees"


@in_thread
def forecast(city: str) -> str:
    with urlopen(f"https://weather.example/{city}/forecast", timeout=5) as answer:
        return answer.read().decode()


async def alert(city: str) -> bytes:
    return urlopen(f"https://weather.example/{city}/alert", timeout=5).read()  # expect: blocking-http
