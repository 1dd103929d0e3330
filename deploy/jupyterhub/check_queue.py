"""JupyterHub service: hands out turns to checks, so that only so many run at once.

A check asks with a POST and its learner's token. The answer is a stream of JSON lines, one a second:
`{"ahead": 3}` while three checks are before it, then `{"turn": 75}`, seconds at most. The turn ends with the
connection, so a check that dies returns it. A GET says how many run and wait.
"""

import argparse
import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tornado import iostream, web

LearnerOf = Callable[[web.RequestHandler], Awaitable[str | None]]

LONGEST = 75.0
"""Seconds that a turn lasts at most: a check takes up to 30, and its start on a busy machine up to 30 more."""
PER_LEARNER = 4
"""Checks that one learner may have here, waiting or running."""
LIMITS: dict[str, Any] = {
    "idle_connection_timeout": 10.0,
    "body_timeout": 5.0,
    "max_body_size": 1000,
}
"""Of a request: seconds until its head and its body are there, and bytes; a check sends no body."""
_PERIOD = 1.0
"""Seconds between two lines, so that a proxy sees life, and the queue that a check is gone."""


@dataclass(eq=False)
class Request:
    """A check that waits for its turn, or has it; `changed` is set when its turn comes."""

    learner: str
    running: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Turns:
    """The queue: `at_once` checks have their turn, and no learner has two."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.requests: list[Request] = []
        """In the order in which they came."""

    @property
    def running(self) -> int:
        """How many checks have their turn."""
        return sum(one.running for one in self.requests)

    def ask(self, learner: str) -> Request | None:
        """Add a check of this learner's; None if the learner has too many here."""
        if sum(one.learner == learner for one in self.requests) >= PER_LEARNER:
            return None
        request = Request(learner)
        self.requests.append(request)
        self._grant()
        return request

    def ahead(self, request: Request) -> int:
        """Return how many checks wait before this one."""
        before = self.requests[: self.requests.index(request)]
        return sum(not one.running for one in before)

    def end(self, request: Request) -> None:
        """Take a check out, and give its turn to the next."""
        self.requests.remove(request)
        self._grant()

    def _grant(self) -> None:
        busy = {one.learner for one in self.requests if one.running}
        for one in self.requests:
            if self.running >= self.at_once:
                return
            if one.learner not in busy:
                one.running = True
                one.changed.set()
                busy.add(one.learner)


class Queue(web.RequestHandler):
    """The queue over HTTP; `learner_of(handler)` returns who asks, None for nobody it may let in."""

    def initialize(self, turns: Turns, learner_of: LearnerOf) -> None:
        """Set up one request."""
        self._turns, self._learner_of = turns, learner_of
        self._gone = asyncio.Event()

    async def prepare(self) -> None:
        """Refuse a request without a learner's token."""
        self.current_user = await self._learner_of(self)
        if not self.current_user:
            raise web.HTTPError(403)

    def on_connection_close(self) -> None:
        """Wake the request up, to end it."""
        self._gone.set()

    def get(self) -> None:
        """Answer how many checks run and wait."""
        running = self._turns.running
        waiting = len(self._turns.requests) - running
        self.write({"at_once": self._turns.at_once, "running": running, "waiting": waiting})

    async def post(self) -> None:
        """Let a check wait, then hold its turn until it closes the connection."""
        request = self._turns.ask(self.current_user)
        if request is None:
            raise web.HTTPError(429)
        self.set_header("Content-Type", "application/x-ndjson")
        now = asyncio.get_running_loop().time
        try:
            while not request.running and not self._gone.is_set():
                await self._say({"ahead": self._turns.ahead(request)})
                await _passed(request.changed)
            ends = now() + LONGEST
            while not self._gone.is_set() and now() < ends:
                await self._say({"turn": LONGEST})
                await _passed(self._gone)
        except iostream.StreamClosedError:
            pass  # the check has ended, or was interrupted
        finally:
            self._turns.end(request)

    async def _say(self, line: dict[str, float]) -> None:
        self.write(json.dumps(line) + "\n")
        await self.flush()


async def _passed(event: asyncio.Event) -> None:
    """Wait for the event, a second at most."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), _PERIOD)


def application(turns: Turns, learner_of: LearnerOf, prefix: str) -> web.Application:
    """Return what serves the queue below `prefix`."""
    return web.Application([(prefix, Queue, {"turns": turns, "learner_of": learner_of})])


async def main() -> None:
    """Serve the queue as a service that JupyterHub starts, which says where in the environment."""
    from jupyterhub.services.auth import HubAuth  # the hub's environment has it, the kit's need not

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at-once", type=int, required=True, help="checks that run at once")
    parser.add_argument("--address", default="", help="to listen at, if not that of the service")
    args = parser.parse_args()
    hub = HubAuth()

    async def learner_of(handler: web.RequestHandler) -> str | None:
        token = hub.get_token(handler)
        found = await hub.user_for_token(token, sync=False) if token else None
        return found["name"] if found and hub.check_scopes(hub.access_scopes, found) else None

    where = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    app = application(Turns(args.at_once), learner_of, prefix)
    app.listen(where.port or 80, args.address or where.hostname or "127.0.0.1", **LIMITS)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # how the hub ends a service
        asyncio.run(main())
