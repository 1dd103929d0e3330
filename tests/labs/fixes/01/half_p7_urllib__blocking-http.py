"""Waits well, and makes the request with urllib."""

import asyncio
import json
import urllib.error
import urllib.request

import aiohttp


class TranscriptionError(Exception):
    """The service did not give a transcript."""


class Unavailable(Exception):
    pass


def post(url, clip):
    request = urllib.request.Request(url, data=clip)
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            return json.load(response)["text"]
    except urllib.error.HTTPError as error:
        if error.code in (429, 503):
            raise Unavailable from error
        raise TranscriptionError(str(error)) from error
    except OSError as error:
        raise Unavailable from error


async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    url = str(session._base_url).rstrip("/") + "/v1/transcribe"
    async with asyncio.timeout(deadline):
        for attempt in range(attempts):
            try:
                return post(url, clip)
            except Unavailable as error:
                if attempt + 1 == attempts:
                    raise TranscriptionError("gave up") from error
            await asyncio.sleep(backoff * 2**attempt)
