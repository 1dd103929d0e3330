"""Calls to the upstreams behind the gateway."""

import asyncio
import socket

import aiohttp
import httpx

LIMIT = aiohttp.ClientTimeout(total=5)


class Upstream:
    def __init__(self, address: str) -> None:
        self.address = address
        self.session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Upstream":
        self.session = aiohttp.ClientSession(self.address, timeout=LIMIT)  # clean: __aexit__ closes it
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self.session is not None:
            await self.session.close()

    async def fetch(self, path: str) -> dict[str, object]:
        assert self.session is not None
        async with self.session.get(path) as answer:  # clean: aiohttp with a total timeout
            return await answer.json()


async def probe(address: str) -> int:
    session = aiohttp.ClientSession(timeout=LIMIT)  # expect: unclosed-resource
    async with session.get(address) as answer:
        return answer.status


async def probe_once(address: str) -> int:
    session = aiohttp.ClientSession(timeout=LIMIT)  # clean: closed in the finally
    try:
        async with session.get(address) as answer:
            return answer.status
    finally:
        await session.close()


def open_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=LIMIT)  # clean: the caller owns it


async def head(address: str) -> int:
    client = httpx.AsyncClient(timeout=5)  # expect: unclosed-resource, blocking-file-io
    answer = await client.head(address)
    return answer.status_code


async def patient(address: str) -> str:
    async with httpx.AsyncClient(timeout=None) as client:  # expect: missing-timeout, blocking-file-io
        return (await client.get(address)).text


async def banner(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)  # expect: missing-timeout
    try:
        return await reader.readline()  # expect: missing-timeout
    finally:
        writer.close()


async def banner_in_time(host: str, port: int) -> bytes:
    async with asyncio.timeout(3):
        reader, writer = await asyncio.open_connection(host, port)  # clean: inside asyncio.timeout
        try:
            return await reader.readline()  # clean: inside asyncio.timeout
        finally:
            writer.close()


async def reachable(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2)  # clean: wait_for
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def resolve(host: str) -> str:
    return socket.gethostbyname(host)  # expect: blocking-net


async def resolve_well(host: str) -> list[object]:
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, 443)  # clean: the loop's own, in its executor


async def knock(host: str, port: int) -> bytes:
    with socket.create_connection((host, port), timeout=2) as sock:  # expect: blocking-net
        return sock.recv(64)  # expect: blocking-net


async def download(address: str) -> bytes:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:  # expect: missing-timeout
        async with session.get(address) as answer:
            return await answer.read()
