import asyncio

import anthropic
import httpx

client = anthropic.Anthropic()
aclient = anthropic.AsyncAnthropic()


async def caption(url: str) -> str:
    message = client.messages.create(  # expect: blocking-sdk
        model="claude-sonnet", max_tokens=200, messages=[{"role": "user", "content": f"Caption {url}"}]
    )
    return message.content[0].text


async def caption_politely(url: str) -> str:
    message = await aclient.messages.create(  # clean: the async client
        model="claude-sonnet", max_tokens=200, messages=[{"role": "user", "content": f"Caption {url}"}]
    )
    await asyncio.sleep(0.1)  # clean: yields to the loop
    return message.content[0].text


async def download(url: str) -> bytes:
    async with httpx.AsyncClient(timeout=10) as http:  # expect: blocking-file-io
        return (await http.get(url)).content  # clean: the async client


async def download_badly(url: str) -> bytes:
    return httpx.get(url, timeout=10).content  # expect: blocking-http
