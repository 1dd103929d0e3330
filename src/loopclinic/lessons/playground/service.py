"""Process of the playground's service: a limit, a blocking call, a pool and an upstream, changed while it runs."""

import asyncio
import contextlib
import gc
from random import Random
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from loopclinic.lessons.playground.connection_pool import ConnectionPool
from loopclinic.lessons.playground.remedies import Remedies
from loopclinic.lessons.playground.settings import Settings
from loopclinic.load.serve import LocalServer
from loopclinic.load.variant import Variant
from loopclinic.probe import Probe
from loopclinic.scope.recorder import Recorder
from loopclinic.servers.lifeline import ParentLink
from loopclinic.servers.resizable_limit import ResizableLimit
from loopclinic.servers.upstream import SECONDS

_BUSY, _BAD_GATEWAY = 503, 502
_MOST = 2000  # requests in hand: beyond them nobody is let in, so that memory stays bounded


class Service:
    """Handles requests as the settings say; make it on the loop that it runs on.

    It gives up a request that has waited its timeout for a place. One that has its place is worked
    on to the end, also when its caller has left: most frameworks don't notice that.
    """

    def __init__(self, upstream: str, settings: Settings) -> None:
        self.settings = settings
        clock = asyncio.get_running_loop().time
        self.limit = ResizableLimit(settings.limit, clock)
        self.pool = ResizableLimit(settings.pool, clock)
        self.remedies = Remedies()
        self.turned = 0
        """How many settings have come into force."""
        self.failed = ""
        """Why the last settings have not, or nothing."""
        self.handled = 0
        address = urlsplit(upstream)
        self._upstream = ConnectionPool(address.hostname or "", address.port or 80)
        self._head = f"GET /work HTTP/1.1\r\nHost: {address.netloc}\r\n{SECONDS}: "
        self._rng = Random(0)  # noqa: S311 - who blocks and for how long, not secrets
        self._working: set[asyncio.Task[Any]] = set()
        self._turning = asyncio.Lock()

    async def turn(self, settings: Settings, dsn: str = "") -> None:
        """Apply the settings to the requests that come from now on."""
        async with self._turning:
            if dsn:
                self.remedies.dsn = dsn
            try:
                await self.remedies.prepare(settings)
            except Exception as error:  # a pool that does not start must not end the service
                self.failed = f"{type(error).__name__}: {error}"
            else:
                self.failed = ""
                self.settings = settings
                self.limit.resize(settings.limit)
                self.pool.resize(settings.pool, min(settings.pool, settings.capacity))
            self.turned += 1

    async def handle(self, _request: Any) -> web.Response | None:
        """Answer one request: a `loopclinic.load.Variant`."""
        self.handled += 1
        if len(self._working) >= _MOST:
            return web.Response(status=_BUSY)
        work = asyncio.ensure_future(self._work(self.settings))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        return await asyncio.shield(work)

    async def _work(self, s: Settings) -> web.Response | None:
        blocks = self._rng.random() < s.share
        shape = 1 / s.spread**2 if s.spread else 0.0
        seconds = self._rng.gammavariate(shape, s.service / shape) if shape else s.service
        try:
            async with asyncio.timeout(s.timeout) as patience, self.limit:
                if blocks:
                    await self.remedies.run(s)
                async with self.pool:
                    patience.reschedule(None)  # from here on it is worked on
                    request = f"{self._head}{seconds:.6f}\r\n\r\n"
                    status, _ = await self._upstream.ask(request.encode())
        except TimeoutError:
            return web.Response(status=_BUSY)
        except OSError:
            return web.Response(status=_BAD_GATEWAY)
        return None if status < 400 else web.Response(status=_BUSY)  # HTTP's own border

    def figures(self) -> dict[str, Any]:
        """Return running totals as JSON values."""
        return {
            "handled": self.handled,
            "on_loop": self.remedies.on_loop,
            "limit": self.limit.figures(),
            "pool": self.pool.figures(),
            "threads_busy": self.remedies.busy,
            "threads_queued": self.remedies.queued,
            "turned": self.turned,
            "failed": self.failed,
        }

    async def close(self) -> None:
        """Drop what is under way, and everything it uses."""
        for work in tuple(self._working):
            work.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        self._upstream.close()
        await self.remedies.close()


_BACKLOG = 512  # callers of the longest block at the highest rate: 1 s, 500 a second


async def main(link: ParentLink) -> None:
    """Serve until the parent is gone."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    turning: set[asyncio.Task[None]] = set()
    service = Service(link.spec["upstream"], Settings.of(link.spec["settings"]))
    recorder: Recorder | None = None

    def turn(wanted: dict[str, Any]) -> None:
        task = loop.create_task(service.turn(Settings.of(wanted["settings"]), wanted["dsn"]))
        turning.add(task)
        task.add_done_callback(turning.discard)

    def answer(call: dict[str, Any]) -> dict[str, Any] | None:
        # On the lifeline's thread: it answers also while the loop is stuck.
        if "turn" in call:
            loop.call_soon_threadsafe(turn, call["turn"])
            return None
        assert recorder is not None
        if "history" in call:
            return recorder.history()
        snapshot = probe.snapshot()
        totals = {"at": snapshot.at, "idle": snapshot.idle if snapshot.exact else None}
        return {"tick": recorder.tick(), "service": service.figures() | totals}

    def leave() -> None:
        loop.call_soon_threadsafe(gone.set)

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(service.close)
        server = await stack.enter_async_context(
            LocalServer(Variant(service.handle), backlog=_BACKLOG)
        )
        probe = stack.enter_context(Probe(witness=True))
        recorder = Recorder(probe)
        gc.freeze()  # what the imports made: looking through it takes the loop 20 ms and more
        link.listen(answer, on_end=leave)
        link.ready({"port": server.port})
        await gone.wait()
