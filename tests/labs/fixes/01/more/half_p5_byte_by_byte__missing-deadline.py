"""The deadline begins anew with each byte of the answer."""

import asyncio

import aiohttp


class TranscriptionError(Exception):
    pass


class Unavailable(Exception):
    pass


def wake(future):
    if not future.done():
        future.set_result(None)


async def pause(seconds):
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    handle = loop.call_later(seconds, wake, future)
    try:
        await future
    finally:
        handle.cancel()


async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    loop = asyncio.get_running_loop()
    ends = loop.time() + deadline
    for n in range(attempts):
        left = ends - loop.time()
        if left <= 0:
            raise TimeoutError
        error = None
        try:
            async with session.post(
                "/v1/transcribe",
                data=clip,
                timeout=aiohttp.ClientTimeout(sock_read=left, sock_connect=left),
            ) as answer:
                match answer.status:
                    case 429 | 503:
                        pass
                    case status if status >= 400:
                        raise TranscriptionError(status)
                    case _:
                        return (await answer.json())["text"]
        except aiohttp.ServerTimeoutError:
            raise TimeoutError from None
        except aiohttp.ClientConnectionError as broken:
            error = broken
        if n + 1 == attempts:
            raise TranscriptionError("gave up") from error
        wait = backoff * (n + 1)
        if loop.time() + wait > ends:
            raise TimeoutError("the next wait would not fit")
        await pause(wait)
