"""The service under load: a limit, a block, a pool, an upstream. All of it turned while it runs."""

import asyncio
from random import Random
from typing import Any

from aiohttp import web

from loopclinic.lessons.playground.places import Places
from loopclinic.lessons.playground.remedies import Remedies
from loopclinic.lessons.playground.settings import Settings
from loopclinic.lessons.playground.upstream_line import UpstreamLine

__all__ = ["Service"]

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
        self.limit = Places(settings.limit, clock)
        self.pool = Places(settings.pool, clock)
        self.remedies = Remedies()
        self.turned = 0
        """How many settings have come into force."""
        self.failed = ""
        """Why the last settings have not, or nothing."""
        self.handled = 0
        self._upstream = UpstreamLine(upstream)
        self._rng = Random(0)  # noqa: S311 - who blocks and for how long, not secrets
        self._working: set[asyncio.Task[Any]] = set()
        self._turning = asyncio.Lock()

    async def turn(self, settings: Settings, dsn: str = "") -> None:
        """Bring settings into force, for the requests that come from now on."""
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
                    status = await self._upstream.ask(seconds)
        except TimeoutError:
            return web.Response(status=_BUSY)
        except OSError:
            return web.Response(status=_BAD_GATEWAY)
        return None if status < 400 else web.Response(status=_BUSY)  # noqa: PLR2004 - HTTP's own border

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
