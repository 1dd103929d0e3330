from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import sleep as nap

import requests

from scraper import parse
from scraper.http import Session, get
from scraper.http.session import pause


@dataclass
class Crawl:
    seeds: list[str]
    seen: set[str] = field(default_factory=set)
    session: Session = field(default_factory=Session)

    async def run(self) -> list[str]:
        for page in parse.pages(self.seeds):  # expect-via: blocking-http
            self.seen.update(parse.links(page))  # clean: a regular expression
        return sorted(self.seen, key=len)  # clean: sorts by length

    async def titles(self, texts: list[str]) -> list[str]:
        return [title.strip() for title in parse.titles(texts)]  # clean: a generator that only parses

    async def oldest(self) -> str:
        return min(self.seeds, key=parse.age)  # expect-via: blocking-http

    async def texts(self) -> list[str]:
        return list(map(get, self.seeds))  # expect-via: blocking-http

    async def first(self) -> str:
        return self.session.text(self.seeds[0])  # expect-via: blocking-http

    async def may(self, host: str) -> bool:
        return parse.allowed(host, "/")  # expect-via: blocking-http

    async def polite(self) -> None:
        pause(1.5)  # expect-via: blocking-sleep

    async def rude(self) -> None:
        nap(0.5)  # expect: blocking-sleep

    async def threaded(self) -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.to_thread(get, url)) for url in self.seeds[:8]]  # clean: in threads
        return [task.result() for task in tasks]  # clean: the group has waited

    async def post(self, url: str, found: list[str]) -> int:
        def send() -> int:
            return requests.post(url, json=found, timeout=10).status_code

        return send()  # expect-via: blocking-http

    async def post_well(self, url: str, found: list[str]) -> int:
        def send() -> int:
            return requests.post(url, json=found, timeout=10).status_code

        return await asyncio.to_thread(send)  # clean: in a thread

    async def stream(self, url: str) -> int:
        with requests.get(url, stream=True, timeout=10) as answer:  # expect: blocking-http
            return answer.status_code

    async def sample(self) -> str | None:
        return next((seed for seed in self.seeds if seed.startswith("https")), None)  # clean: a list in memory
