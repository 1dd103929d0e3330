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
from dataclasses import dataclass, field
from urllib.parse import urlsplit

LONGEST = 75.0
"""Seconds that a turn lasts at most: a check takes up to 30, and its start on a busy machine up to 30 more."""
PER_LEARNER = 4
"""Checks that one learner may have here, waiting or running."""
_PERIOD = 1.0


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


def main() -> None:
    """Serve the queue as a service that JupyterHub starts, which says where in the environment."""
    from jupyterhub.services.auth import HubAuth  # absent where only the tests of `Turns` run
    from tornado import iostream, web

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at-once", type=int, required=True, help="checks that run at once")
    parser.add_argument("--address", default="", help="the address to listen at; that of the service")
    args = parser.parse_args()
    hub, turns = HubAuth(), Turns(args.at_once)

    class Queue(web.RequestHandler):
        _gone: asyncio.Event

        async def prepare(self) -> None:
            self._gone = asyncio.Event()
            token = hub.get_token(self)
            learner = await hub.user_for_token(token, sync=False) if token else None
            if not learner or not hub.check_scopes(hub.access_scopes, learner):
                raise web.HTTPError(403)
            self.current_user = learner["name"]

        def on_connection_close(self) -> None:
            self._gone.set()

        def get(self) -> None:
            waiting = len(turns.requests) - turns.running
            self.write({"at_once": turns.at_once, "running": turns.running, "waiting": waiting})

        async def post(self) -> None:
            request = turns.ask(self.current_user)
            if request is None:
                raise web.HTTPError(429)
            self.set_header("Content-Type", "application/x-ndjson")
            try:
                while not request.running and not self._gone.is_set():
                    await self._say({"ahead": turns.ahead(request)})
                    await self._wait(request.changed, _PERIOD)
                ends = asyncio.get_running_loop().time() + LONGEST
                while not self._gone.is_set() and asyncio.get_running_loop().time() < ends:
                    await self._say({"turn": LONGEST})
                    await self._wait(self._gone, _PERIOD)
            except iostream.StreamClosedError:
                pass  # the check was interrupted
            finally:
                turns.end(request)

        async def _say(self, line: dict[str, float]) -> None:
            self.write(json.dumps(line) + "\n")
            await self.flush()

        async def _wait(self, event: asyncio.Event, seconds: float) -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)

    async def serve() -> None:
        where = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
        prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
        app = web.Application([(prefix, Queue)])
        app.listen(where.port or 80, args.address or where.hostname or "127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
