"""What the handlers are given."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml
from redis import Redis

from .llm import AsyncModel, EchoModel, GroqModel, Voice


@dataclass
class Container:
    folder: Path
    model: GroqModel = field(default_factory=GroqModel)
    echo: EchoModel = field(default_factory=EchoModel)
    voice: Voice = field(default_factory=Voice)

    @cached_property
    def redis(self) -> Redis:
        return Redis(host="localhost", decode_responses=True)

    @cached_property
    def prompts(self) -> dict[str, str]:
        return yaml.safe_load((self.folder / "prompts.yaml").read_text())

    @property
    def name(self) -> str:
        return self.folder.name

    def amodel(self) -> AsyncModel:
        return AsyncModel()

    def history(self, chat: int) -> list[str]:
        return self.redis.lrange(f"chat:{chat}", 0, 20)

    def context(self, chat: int) -> str:
        return "\n".join(self.history(chat))


_container: Container | None = None


def get_container() -> Container:
    global _container
    if _container is None:
        _container = Container(Path("conf"))
    return _container
