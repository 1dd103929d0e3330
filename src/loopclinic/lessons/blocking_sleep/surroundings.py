"""What surrounds a lab while it is rehearsed: the service, a session to it, clips, a clock."""

import time
from types import ModuleType
from typing import Any

import aiohttp

from loopclinic.lessons.blocking_sleep.calls import Call
from loopclinic.lessons.blocking_sleep.crowd import Crowd
from loopclinic.lessons.lesson import Stage
from loopclinic.probe import Probe
from loopclinic.servers import Upstream

__all__ = ["Surroundings"]

_perf_counter = time.perf_counter
_IN_TIME = 6.0
"""Seconds after which nothing is measured twice, or at length: a verdict takes 15 s at most."""


class Surroundings:
    """A lab, a stage, the service and a probe; what every step of a rehearsal needs of them."""

    def __init__(
        self,
        lab: ModuleType,
        stage: Stage,
        upstream: Upstream,
        session: aiohttp.ClientSession,
        probe: Probe,
    ) -> None:
        self.lab = lab
        self.stage = stage
        self.upstream = upstream
        self.session = session
        self.probe = probe
        self.began = _perf_counter()
        self.nested = False
        self.crowd = Crowd(stage.rng, upstream, session, probe)

    def clips(self, count: int) -> list[bytes]:
        """Return clips never seen before."""
        rng = self.stage.rng
        return [rng.randbytes(rng.randrange(200, 2000)) for _ in range(count)]

    def call(self, clip: bytes, **options: float) -> Call:
        """Call the lab's `transcribe`."""
        return Call(self.lab, self.session, clip, **options)

    def calls(self, count: int, **options: float) -> list[Call]:
        """Call it with so many clips."""
        return [self.call(clip, **options) for clip in self.clips(count)]

    async def dials(self, **dials: Any) -> None:
        """Have the service forget what was, and behave like this from now on."""
        await self.upstream.reset()
        await self.upstream.set(**dials)

    async def warm_up(self) -> None:
        """Make what is made once: connections, codecs, lazy imports of the client."""
        await self.dials()
        self.stage.step("the first connection")
        async with self.session.get("/warm-up") as answer:
            await answer.read()

    def in_time(self) -> bool:
        """Whether there is time left for more than the least."""
        return _perf_counter() - self.began < _IN_TIME
