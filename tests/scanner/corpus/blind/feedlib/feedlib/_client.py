"""One library, two faces: `Feed` blocks, `AsyncFeed` does not, except where it was forgotten."""

from __future__ import annotations

import functools
import ssl
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Generic, ParamSpec, Self, TypeVar

import httpx

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", httpx.Client, httpx.AsyncClient)


def throttled(seconds: float) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Wait before each call."""

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(func)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            time.sleep(seconds)
            return func(*args, **kwargs)

        return wrapper

    return decorate


def logged(func: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(func)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        print(func.__name__)
        return func(*args, **kwargs)

    return wrapper


class _Shared(Generic[C]):
    client: C

    def _titles(self, text: str) -> list[str]:
        return [one.text or "" for one in ET.fromstring(text).iter("title")]

    def _certificates(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def _remember(self, text: str) -> None:
        Path("feed.xml").write_text(text)

    @throttled(0.5)
    def _slot(self) -> int:
        return 1

    @logged
    def _plain(self) -> int:
        return 2


class Feed(_Shared[httpx.Client]):
    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(timeout=5)

    def titles(self) -> list[str]:
        return self._titles(self.client.get(self.url).text)  # clean: the synchronous face

    def __iter__(self) -> Iterator[str]:
        yield from self.titles()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()


class AsyncFeed(_Shared[httpx.AsyncClient]):
    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.AsyncClient(timeout=5)

    async def titles(self) -> list[str]:
        return self._titles((await self.client.get(self.url)).text)  # clean: parses a short text

    async def kept(self) -> list[str]:
        answer = await self.client.get(self.url)
        self._remember(answer.text)  # expect-via: blocking-file-io
        return self._titles(answer.text)  # clean: parses a short text

    async def slot(self) -> int:
        return self._slot()  # expect-via: blocking-sleep

    async def plain(self) -> int:
        return self._plain()  # clean: the decorator only prints

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()


async def newest(url: str) -> str:
    with Feed(url) as feed:  # clean: closing an idle client takes no time
        return feed.titles()[0]  # expect-via: blocking-http


async def listed(url: str) -> list[str]:
    feed = Feed(url)
    try:
        return sorted(feed)  # expect-via: blocking-http
    finally:
        feed.client.close()


async def newest_well(url: str) -> str:
    async with AsyncFeed(url) as feed:  # expect-via: blocking-file-io
        return (await feed.titles())[0]


async def forgotten(url: str) -> str:
    async with AsyncFeed(url) as feed:  # expect-via: blocking-file-io
        titles = feed.titles()  # expect: unawaited-coroutine
        return f"{url}: {titles}"


async def newest_wrong(url: str) -> int:
    with httpx.Client(timeout=5) as client:
        return client.get(url).status_code  # expect: blocking-http
