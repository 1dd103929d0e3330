import os
from functools import cached_property

from anthropic import Anthropic
from openai import AsyncOpenAI, OpenAI


class Chat:
    def __init__(self, model: str = "gpt-4o-mini"):
        self.model = model

    @cached_property
    def client(self) -> OpenAI:
        return OpenAI(api_key=os.environ["OPENAI_API_KEY"])

    def complete(self, prompt: str) -> str:
        answer = self.client.chat.completions.create(
            model=self.model, messages=[{"role": "user", "content": prompt}]
        )
        return answer.choices[0].message.content


class AsyncChat:
    def __init__(self):
        self.client = AsyncOpenAI()

    async def complete(self, prompt: str) -> str:
        answer = await self.client.chat.completions.create(  # clean: the async client
            model="gpt-4o-mini", messages=[{"role": "user", "content": prompt}]
        )
        return answer.choices[0].message.content


def make_judge():
    judge = Anthropic()

    def score(text: str) -> int:
        reply = judge.messages.create(
            model="claude-3-5-haiku-latest", max_tokens=5, messages=[{"role": "user", "content": text}]
        )
        return int(reply.content[0].text)

    return score
