"""Model vendors behind one face."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Optional

import cohere
from elevenlabs.client import ElevenLabs
from google import genai
from groq import AsyncGroq, Groq
from mistralai import Mistral


class Model(ABC):
    @abstractmethod
    def ask(self, prompt: str) -> str: ...


class GroqModel(Model):
    def __init__(self) -> None:
        self.client = Groq(api_key=os.environ["GROQ_KEY"])

    def ask(self, prompt: str) -> str:
        answer = self.client.chat.completions.create(
            model="llama-3", messages=[{"role": "user", "content": prompt}]
        )
        return answer.choices[0].message.content or ""


class EchoModel(Model):
    def ask(self, prompt: str) -> str:
        return prompt


class AsyncModel:
    def __init__(self) -> None:
        self.client = AsyncGroq(api_key=os.environ["GROQ_KEY"])

    async def ask(self, prompt: str) -> str:
        answer = await self.client.chat.completions.create(  # clean: the async client
            model="llama-3", messages=[{"role": "user", "content": prompt}]
        )
        return answer.choices[0].message.content or ""


class Voice:
    _client: Optional[ElevenLabs] = None

    @property
    def client(self) -> ElevenLabs:
        if self._client is None:
            self._client = ElevenLabs(api_key=os.environ["VOICE_KEY"])
        return self._client

    def voices(self) -> list[str]:
        return [voice.name for voice in self.client.voices.get_all().voices]


gemini = genai.Client()
mistral = Mistral()
ranker = cohere.Client()


async def sketch(prompt: str) -> str:
    answer = gemini.models.generate_content(model="gemini-2.0-flash", contents=prompt)  # expect: blocking-sdk
    return answer.text or ""


async def sketch_well(prompt: str) -> str:
    answer = await gemini.aio.models.generate_content(model="gemini-2.0-flash", contents=prompt)  # clean: its async half
    return answer.text or ""


async def rank(query: str, documents: list[str]) -> list[int]:
    answer = ranker.rerank(query=query, documents=documents, model="rerank-v3.5")  # expect: blocking-sdk
    return [one.index for one in answer.results]


async def complete(prompt: str) -> str:
    answer = await mistral.chat.complete_async(  # clean: its async method
        model="mistral-small", messages=[{"role": "user", "content": prompt}]
    )
    return str(answer.choices[0].message.content)
