"""Process of the playground's callers: open-loop load without an end, evenly spaced, at random, or in bursts."""

import asyncio
import gc
from collections import Counter
from random import Random
from typing import Any

from loopclinic.lessons.playground.connection_pool import ConnectionPool, LostError
from loopclinic.lessons.playground.settings import Settings
from loopclinic.servers.lifeline import ParentLink

_HOST = "127.0.0.1"
_FAILED = 400
_AGES = 400  # of requests in flight, the oldest: reported at most


class EndlessLoad:
    """Plays arrivals against a port until closed. Latency counts from the due time.

    An attempt is given up after the timeout, and its connection dropped; a request that failed is
    sent again at once as often as the settings allow.
    """

    def __init__(self, port: int, settings: Settings, *, seed: int = 0) -> None:
        self.settings = settings
        self._pool = ConnectionPool(_HOST, port)
        self._head = f"GET / HTTP/1.1\r\nHost: {_HOST}:{port}\r\nX-Loopclinic-Number: "
        self._loop = asyncio.get_running_loop()
        self._rng = Random(seed)  # noqa: S311 - arrivals, not secrets
        self._number = 0
        self._callers: dict[asyncio.Task[None], float] = {}
        """Requests in flight, and when each was due."""
        self._began = self._since = self._loop.time()
        self._pump: asyncio.TimerHandle | None = None
        self._closed = False
        self._forget()
        self.turn(settings)

    def turn(self, settings: Settings) -> None:
        """Apply the settings: the next arrival is drawn anew."""
        self.settings = settings
        self._due, self._count = self._loop.time(), 0
        self._plan()

    def take(self) -> dict[str, Any]:
        """Return what has happened since the last call, as JSON values; times in seconds."""
        self._book()
        now = self._loop.time()
        ages = sorted((now - due for due in self._callers.values()), reverse=True)
        taken = {
            "at": now - self._began,
            "seconds": now - self._from,
            "latency": [round(one, 5) for one in self._latency],
            "failed": dict(self._failed),
            "sent": self._sent,
            "attempts": self._attempts,
            "late": self._late,
            "in_flight": len(self._callers),
            "in_flight_seconds": self._area,
            "ages": [round(age, 5) for age in ages[:_AGES]],
        }
        self._forget()
        return taken

    def close(self) -> None:
        """Stop sending; drop every connection."""
        self._closed = True
        if self._pump is not None:
            self._pump.cancel()
        for caller in self._callers:
            caller.cancel()
        self._callers.clear()
        self._pool.close()

    def _forget(self) -> None:
        self._latency: list[float] = []
        self._failed: Counter[str] = Counter()
        self._sent = self._attempts = 0
        self._late = self._area = 0.0
        self._from = self._loop.time()

    def _book(self) -> None:
        now = self._loop.time()
        self._area += (now - self._since) * len(self._callers)
        self._since = now

    def _plan(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
        gap, self._count = next_arrivals(self.settings.rate, self.settings.bursts, self._rng)
        self._due += gap
        self._pump = self._loop.call_at(self._due, self._arrive)

    def _arrive(self) -> None:
        # A timer may fire ahead of its time, by the resolution of the clock.
        now = max(self._loop.time(), self._due)
        while not self._closed and self._due <= now:
            self._late = max(self._late, now - self._due)
            for _ in range(self._count):
                self._book()
                self._number += 1
                self._sent += 1
                request = f"{self._head}{self._number}\r\n\r\n".encode()
                caller = self._loop.create_task(self._call(request, self._due))
                self._callers[caller] = self._due
            self._plan()

    async def _call(self, request: bytes, due: float) -> None:
        """Make the attempts of one request from the moment it was due."""
        caller = asyncio.current_task()
        assert caller is not None
        began, attempts = due, 1
        while (why := await self._attempt(request, began)) and attempts <= self.settings.retries:
            began, attempts = self._loop.time(), attempts + 1
        self._book()
        self._callers.pop(caller, None)
        if why is not None:
            self._failed[why] += 1
        if why in (None, "timeout"):  # one that was given up counts with what it waited
            self._latency.append(self._loop.time() - due)

    async def _attempt(self, request: bytes, began: float) -> str | None:
        """Return why an attempt failed, None if it did not."""
        self._attempts += 1
        try:
            # A service that is stuck accepts nobody: one that is given up drops its socket, or those
            # of a storm would pile up without an end.
            async with asyncio.timeout_at(began + self.settings.timeout):
                status, error = await self._pool.ask(request)
        except TimeoutError:
            return "timeout"
        except LostError:
            return "connection lost"
        except OSError as error:
            return type(error).__name__
        return None if status < _FAILED else error or f"HTTP {status}"


def next_arrivals(rate: float, bursts: int, rng: Random) -> tuple[float, int]:
    """Draw the seconds until somebody comes, and how many come then.

    `bursts` is the index of dispersion of their counts. 0: evenly spaced. 1: Poisson. n: groups of n at
    once, by chance (compound Poisson).
    """
    return (rng.expovariate(rate / bursts), bursts) if bursts else (1 / rate, 1)


async def main(link: ParentLink) -> None:
    """Play until the parent is gone."""
    stream: EndlessLoad | None = None

    async def reply(call: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal stream
        if "begin" in call:
            stream = EndlessLoad(call["begin"]["port"], Settings.of(call["begin"]["settings"]))
        elif stream is None:
            raise RuntimeError("begin first")
        elif "turn" in call:
            stream.turn(Settings.of(call["turn"]))
        else:
            return stream.take()
        return None

    gc.freeze()  # what the imports made is never looked through: a collection would be charged to the service
    await link.serve("callers", reply)
