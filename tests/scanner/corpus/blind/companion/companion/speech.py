import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path

import aiofiles
from openai import AsyncOpenAI, OpenAI

from .backoff import with_backoff
from .breaker import CircuitBreaker

CACHE = Path(os.environ.get("COMPANION_CACHE", "cache"))


class Speech:
    def __init__(self) -> None:
        self.openai = OpenAI()
        self.later = AsyncOpenAI()
        self.breaker = CircuitBreaker()

    async def transcribe(self, recording: bytes) -> str:
        with tempfile.NamedTemporaryFile(suffix=".ogg") as file:  # expect: blocking-file-io
            file.write(recording)  # expect: blocking-file-io
            answer = await self.later.audio.transcriptions.create(  # clean: the async client
                model="whisper-1", file=Path(file.name)
            )
        return answer.text

    async def speak(self, text: str) -> bytes:
        answer = self.openai.audio.speech.create(model="tts-1", voice="alloy", input=text)  # expect: blocking-sdk
        return answer.content

    async def chat(self, prompt: str) -> str:
        for attempt in range(3):
            try:
                return await self._ask(prompt)
            except ConnectionError:
                time.sleep(2**attempt)  # expect: blocking-retry
        return ""

    async def _ask(self, prompt: str) -> str:
        answer = await self.later.chat.completions.create(  # clean: the async client
            model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}]
        )
        return answer.choices[0].message.content or ""

    async def guarded(self, prompt: str) -> str:
        return await self.breaker.call(self._ask, prompt)  # expect: sync-circuit-breaker

    async def cached(self, key: str) -> bytes | None:
        os.makedirs(CACHE, exist_ok=True)  # expect: blocking-file-io
        path = CACHE / key  # clean: joins a path
        if not path.exists():  # expect: blocking-file-io
            return None
        async with aiofiles.open(path, "rb") as file:  # clean: aiofiles works in a thread
            return await file.read()

    async def forget(self) -> None:
        await asyncio.to_thread(shutil.rmtree, CACHE, True)  # clean: in a thread

    async def forget_now(self) -> None:
        shutil.rmtree(CACHE, ignore_errors=True)  # expect: blocking-file-io

    def _summarize(self, text: str) -> str:
        answer = self.openai.responses.create(model="gpt-4o-mini", input=f"Summarize: {text}")
        return answer.output_text

    async def summarize(self, text: str) -> str:
        return with_backoff(lambda: self._summarize(text))  # expect-via: blocking-retry

    async def summarize_in_thread(self, text: str) -> str:
        return await asyncio.to_thread(with_backoff, lambda: self._summarize(text))  # clean: in a thread
