"""A small event bus: services publish, others listen."""

import asyncio
import inspect
import logging
from collections import defaultdict
from typing import Any, Callable

logger = logging.getLogger(__name__)

Handler = Callable[..., Any]


class EventBus:
    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = defaultdict(list)

    def on(self, name: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self._handlers[name].append(handler)
            return handler

        return register

    def publish(self, name: str, **payload: Any) -> None:
        """Call each handler; coroutines are left to run in the background."""
        for handler in self._handlers[name]:
            if inspect.iscoroutinefunction(handler):
                asyncio.ensure_future(handler(**payload))
            else:
                handler(**payload)

    async def publish_and_wait(self, name: str, **payload: Any) -> None:
        waiting = []
        for handler in self._handlers[name]:
            result = handler(**payload)
            if inspect.isawaitable(result):
                waiting.append(result)
        await asyncio.gather(*waiting, return_exceptions=True)


bus = EventBus()
