"""A Bot API server in memory: the few methods that a bot needs; and a printer that takes its time."""

import asyncio
import itertools
from contextlib import suppress
from math import inf
from typing import Any, Self

from aiohttp import web

ALBUM = 1
"""The customer who has sent an album: its prints are never done in time."""
_LONGEST_POLL = 0.2  # seconds


class BotApi:
    """Serves one bot at `url`, on a free port of this machine; `sent` has chat and text of its messages."""

    def __init__(self) -> None:
        self.url = ""
        self.sent: list[tuple[int, str]] = []
        self._updates: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._numbers = itertools.count(1)
        self._more_sent = asyncio.Condition()
        self._printing: dict[int, asyncio.Future[bool]] = {}
        self._printer: asyncio.Task[None] | None = None
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/bot"
        return self

    async def __aexit__(self, *_: object) -> None:
        for waiting in (self._printer, *self._printing.values()):
            if waiting is not None:
                waiting.cancel()
        await self._runner.cleanup()

    def update(self, chat: int, text: str = "a photo") -> dict[str, Any]:
        """Return a message of a customer as the Bot API has it."""
        number = next(self._numbers)
        who = {"id": chat, "is_bot": False, "first_name": f"Customer {chat}"}
        there = {"id": chat, "type": "private"}
        message = {"message_id": number, "date": 0, "chat": there, "from": who, "text": text}
        return {"update_id": number, "message": message}

    def say(self, chat: int) -> None:
        """Let a customer send a message; the bot fetches it."""
        self._updates.put_nowait(self.update(chat))

    async def has_sent(self, messages: int) -> None:
        """Wait until the bot has sent so many messages."""
        async with self._more_sent:
            await self._more_sent.wait_for(lambda: len(self.sent) >= messages)

    async def print_some(self, number: float, every: float = 0.0) -> None:
        """Finish so many prints; the next `every` seconds after the last. No albums."""
        while number > 0:
            await asyncio.sleep(every)
            if ready := [one for one in self._printing if one != ALBUM]:
                self._printing.pop(ready[0]).set_result(True)
                number -= 1

    def keep_printing(self, every: float) -> None:
        """Finish the prints that come, one `every` so many seconds, until the server ends."""
        self._printer = asyncio.create_task(self.print_some(inf, every))

    async def _answer(self, request: web.Request) -> web.Response:
        given = await request.post()
        result: Any = True
        match request.match_info["method"]:
            case "getMe":
                result = {"id": 1, "is_bot": True, "first_name": "Prints", "username": "prints_bot"}
            case "getUpdates":
                result = []
                with suppress(TimeoutError):
                    result.append(await asyncio.wait_for(self._updates.get(), _LONGEST_POLL))
                while not self._updates.empty():
                    result.append(self._updates.get_nowait())
            case "sendMessage":
                chat, text = int(str(given["chat_id"])), str(given["text"])
                self.sent.append((chat, text))
                async with self._more_sent:
                    self._more_sent.notify_all()
                result = self.update(chat, text)["message"]
            case "print":
                printed = asyncio.get_running_loop().create_future()
                self._printing[int(str(given["customer"]))] = printed
                result = await printed
        return web.json_response({"ok": True, "result": result})
