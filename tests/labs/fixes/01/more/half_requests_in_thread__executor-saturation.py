"""Moves the whole blocking client into threads."""

import asyncio
import requests
import time

import aiohttp


class TranscriptionError(Exception):
    """The service did not give a transcript."""


def work(url, clip, attempts, backoff, deadline):
    ends = time.monotonic() + deadline
    for attempt in range(attempts):
        if time.monotonic() > ends:
            raise TimeoutError
        try:
            answer = requests.post(url, data=clip, timeout=max(0.01, ends - time.monotonic()))
        except requests.Timeout as error:
            raise TimeoutError from error
        except requests.ConnectionError:
            pass
        else:
            if answer.ok:
                return answer.json()["text"]
            if answer.status_code not in (429, 503):
                raise TranscriptionError(str(answer.status_code))
        if attempt + 1 < attempts:
            time.sleep(min(backoff * 2**attempt, max(0, ends - time.monotonic())))
    raise TranscriptionError("gave up")


async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    url = str(session._base_url).rstrip("/") + "/v1/transcribe"
    return await asyncio.to_thread(work, url, clip, attempts, backoff, deadline)
