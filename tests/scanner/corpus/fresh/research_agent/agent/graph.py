import asyncio
import json

import httpx

from .memory import Memory
from .models import AsyncChat, Chat, make_judge

PLANNERS = {"fast": Chat("gpt-4o-mini"), "careful": Chat("gpt-4o")}
judge = make_judge()


class Agent:
    def __init__(self, memory: Memory, chat: AsyncChat | None = None):
        self.memory = memory
        self.chat = chat or AsyncChat()
        self._http: httpx.AsyncClient | None = None
        self._sources: list[str] | None = None

    async def plan(self, question: str) -> list[str]:
        text = PLANNERS["careful"].complete(question)  # expect-via: blocking-sdk
        return text.splitlines()

    async def grade(self, answer: str) -> int:
        return judge(answer)  # expect-via: blocking-sdk

    async def answer(self, question: str) -> str:
        reply = await self.chat.complete(question)  # clean: awaited
        self.memory.append("assistant", reply)  # clean: a list
        self.memory.flush()  # expect-via: blocking-file-io
        return reply

    async def trace(self) -> str:
        return self.memory.dumps()  # clean: text in memory

    def http(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=10)  # expect: unclosed-resource
        return self._http

    async def sources(self) -> list[str]:
        if self._sources is None:
            reply = await self.http().get("https://example.org/sources.json")  # expect: lazy-init-race, blocking-file-io
            self._sources = reply.json()
        return self._sources

    async def read_all(self, urls: list[str]) -> list[str]:
        pages = await asyncio.gather(*[self._read(url) for url in urls])  # expect: unbounded-gather
        return [page for page in pages if page]

    async def read_some(self, urls: list[str]) -> list[str]:
        gate = asyncio.Semaphore(5)

        async def one(url: str) -> str:
            async with gate:
                return await self._read(url)

        return await asyncio.gather(*(one(url) for url in urls))  # clean: five at a time

    async def _read(self, url: str) -> str:
        reply = await self.http().get(url)  # expect-via: blocking-file-io
        return reply.text

    async def search(self, query: str) -> dict:
        with httpx.Client() as client:
            reply = client.get("https://example.org/search", params={"q": query})  # expect: blocking-http
        return json.loads(reply.text)  # clean: text in memory
