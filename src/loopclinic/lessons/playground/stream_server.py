"""The process of the callers: does nothing but play the load, so that it is on time."""

import asyncio
import gc
from typing import Any

from loopclinic.lessons.playground.settings import Settings
from loopclinic.lessons.playground.stream import Stream
from loopclinic.servers.lifeline import ParentLink

__all__ = ["main"]


async def main(link: ParentLink) -> None:
    """Play until the parent is gone."""
    loop = asyncio.get_running_loop()
    stream: Stream | None = None

    async def reply(call: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal stream
        if "begin" in call:
            stream = Stream(call["begin"]["port"], Settings.of(call["begin"]["settings"]))
        elif stream is None:
            raise RuntimeError("begin first")
        elif "turn" in call:
            stream.turn(Settings.of(call["turn"]))
        else:
            return stream.take()
        return None

    def answer(call: dict[str, Any]) -> dict[str, Any] | None:
        return asyncio.run_coroutine_threadsafe(reply(call), loop).result()

    gc.freeze()  # what the imports made is never looked through: a collection would be charged to the service
    link.ready("callers")
    link.listen(answer)
    await asyncio.Event().wait()
