"""Calls of a model vendor, with retries of many sorts."""

import asyncio
import random
import time

import openai
import tenacity
from openai import AsyncOpenAI, OpenAI
from tenacity import retry, stop_after_attempt

client = OpenAI()
aclient = AsyncOpenAI()


class UpstreamError(Exception):
    pass


def wait_before_retry(attempt):
    delay = 2**attempt + random.random()
    time.sleep(delay)


def with_backoff(call, attempts=3):
    for attempt in range(attempts):
        try:
            return call()
        except UpstreamError:
            time.sleep(attempt)
    raise UpstreamError


async def ask(prompt):
    for attempt in range(3):
        try:
            return await aclient.responses.create(input=prompt)  # clean: the async client
        except openai.APIError:
            time.sleep(2**attempt)  # expect: blocking-retry
    return None


async def ask_twice(prompt):
    for attempt in range(3):
        try:
            return client.chat.completions.create(messages=[prompt])  # expect: blocking-sdk
        except openai.APIError:
            wait_before_retry(attempt)  # expect-via: blocking-retry


async def ask_later(prompt):
    for attempt in range(3):
        try:
            return await aclient.responses.create(input=prompt)
        except openai.APIError:
            await asyncio.sleep(2**attempt)  # clean: the async sleep


async def ask_wrapped(prompt):
    return with_backoff(lambda: print(prompt))  # expect-via: blocking-retry


@retry(stop=stop_after_attempt(3))
def transcribe(audio):
    return client.audio.transcriptions.create(file=audio)


@tenacity.retry(wait=tenacity.wait_fixed(1))
async def transcribe_async(audio):
    return await aclient.audio.transcriptions.create(file=audio)  # clean: the async client


async def dictate(audio):
    return transcribe(audio)  # expect-via: blocking-retry


async def dictate_async(audio):
    return await transcribe_async(audio)  # clean: tenacity awaits async functions


async def dictate_threaded(audio):
    return await asyncio.to_thread(transcribe, audio)  # clean: run in a thread


async def embed(text):
    return client.with_options(timeout=3)  # clean: returns another client


async def embed_all(texts):
    return openai.embeddings.create(input=texts)  # expect: blocking-sdk
