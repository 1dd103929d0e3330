import asyncio
import logging
import signal
import time
from functools import partial

from websockets.asyncio.server import ServerConnection, serve

from .mail import Mailer
from .metrics import Statsd, Timed

log = logging.getLogger(__name__)


class Hub:
    def __init__(self, statsd: Statsd, mailer: Mailer) -> None:
        self.statsd = statsd
        self.mailer = mailer
        self.rooms: dict[str, set[ServerConnection]] = {}
        self.stopping = asyncio.Event()

    async def handle(self, connection: ServerConnection) -> None:
        with Timed(self.statsd, "chat.connection"):  # expect-via: blocking-net
            async for message in connection:
                self.statsd.incr("chat.message")  # clean: appends to a list
                self.spread(str(message))  # clean: only schedules

    def spread(self, message: str) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(log.info, "message of %d characters", len(message))

    async def heartbeat(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(10, self.statsd.flush)  # expect-via: blocking-net
        loop.call_later(10, self.statsd.incr, "chat.beat")  # clean: appends to a list

    async def doze(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(time.sleep, 1)  # expect: blocking-sleep

    async def mail(self, to: str, body: str) -> None:
        message = self.mailer.compose(to, body)  # clean: builds a message
        self.mailer.send(message)  # expect-via: blocking-net

    async def mail_well(self, to: str, body: str) -> None:
        message = self.mailer.compose(to, body)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, lambda: self.mailer.send(message))  # clean: a lambda for the executor

    async def where(self) -> str:
        return self.statsd.lookup()  # expect-via: blocking-net

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stopping.set)  # clean: sets a flag
        async with serve(self.handle, "127.0.0.1", 8765):
            await self.stopping.wait()  # clean: an asyncio event

    async def flush_in_thread(self) -> None:
        flush = partial(self.statsd.flush)  # clean: a partial, not yet a call
        await asyncio.to_thread(flush)

    async def flush_here(self) -> None:
        flush = partial(self.statsd.flush)
        flush()  # expect-via: blocking-net
