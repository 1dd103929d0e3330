"""Two servers of the lab's `Receiver`, webhooks for them, and PostgreSQL asked from outside."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Self

from loopclinic.lessons.core.call import place_of
from loopclinic.lessons.core.findings import Place
from loopclinic.lessons.flask_bridge.ledger import Ledger
from loopclinic.lessons.flask_bridge.updates import Webhook, draw, lay_out
from loopclinic.lessons.whereabouts import defined_at, line_at
from loopclinic.servers.postgres_monitor import named
from loopclinic.servers.process import ServerError
from loopclinic.servers.wsgi import WsgiServer

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

__all__ = ["GRACE", "SIZE", "THREADS", "TIMEOUT", "Receivers"]

THREADS = 8
SIZE = 4
TIMEOUT = 0.6
"""Seconds; of the receiver that meets a database that stands still."""
_PATIENT = 5.0
"""Seconds; of the receiver that gets SIGTERM: there, nothing shall run out of time."""
GRACE = 3.0
"""Seconds that `close()` gets."""
_LOOK = 0.1


class Receivers:
    """What scenes share: the servers `serving` and `ending`, and the `ledger` of the database."""

    def __init__(self, lab: ModuleType, stage: "Stage") -> None:
        file = Path(str(lab.__file__))
        self._file = file.parent if file.name == "__init__.py" else file
        self._init = defined_at(getattr(lab.Receiver, "__init__", None))
        self._stage = stage
        self.secret = stage.rng.randbytes(16)
        self.over = False
        """Whether there is nothing left to drive."""
        self.died: tuple[str, Place | None] | None = None
        """Why a server did not start, or could not go on, and the lab's line."""
        self.ledger: Ledger
        self.serving = self._server("serving", TIMEOUT)
        self.ending = self._server("ending", _PATIENT)

    def _server(self, name: str, timeout: float) -> WsgiServer:
        """Return a server that is not started; `name` is the one its sessions carry."""
        return WsgiServer(
            "loopclinic.lessons.flask_bridge.hosted:Hosted",
            {
                "file": str(self._file),
                "dsn": named(self._stage.services["postgres"], name),
                "secret": self.secret.hex(),
                "size": SIZE,
                "timeout": timeout,
            },
            threads=THREADS,
            grace=GRACE,
            linger=2.0,
            label="the receiver's server",
        )

    async def __aenter__(self) -> Self:
        dsn = self._stage.services["postgres"]
        await self._stage.outside(lay_out, dsn)
        self.ledger = await self._stage.outside(lambda: Ledger(dsn, unnamed=True))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in (self.serving, self.ending):
            await server.close_async()
        self.ledger.connection.close()

    def end(self, message: str, place: Place | None = None) -> None:
        """Note that a server of the lab's ended, so that no more can be driven."""
        self.over, self.died = True, (message, place)

    async def start(self, server: WsgiServer) -> None:
        """Start one; where it can't be started, it is over.

        Raises:
            ServerError: PostgreSQL went away meanwhile: what a lab makes of that is not judged.
        """
        stage, starting = self._stage, asyncio.ensure_future(server.start_async())
        try:
            while not starting.done():
                await stage.wait([starting], timeout=_LOOK)
                await stage.outside(self.ledger.look)
        finally:
            starting.cancel()
            await stage.wait([starting])
        error = starting.exception()
        if error is not None and not isinstance(error, ServerError):
            raise error
        if error is not None:
            places = re.findall(
                rf'File "({re.escape(str(self._file))}[^"]*)", line (\d+)', error.detail
            )
            place = line_at(places[-1][0], int(places[-1][1])) if places else self._init
            message = str(error).partition(" could not be started: ")[2] or str(error)
            what = "Receiver(dsn, secret, size=..., timeout=...)"
            self.end(f"{what} could not be served: {message[:300]}", place_of(place))

    def draw(self, count: int, label: str) -> list[Webhook]:
        """Draw genuine webhooks."""
        return draw(self._stage.rng, count, secret=self.secret, label=label)

    async def stored(self, webhooks: Sequence[Webhook], patience: float = 1.0) -> set[str]:
        """Return the ids of these that are stored, once all are, or after `patience` seconds."""
        ids = {one.id for one in webhooks}

        async def look() -> set[str]:
            return await self._stage.outside(self.ledger.stored, ids)

        return await self._stage.until(look, ids.__eq__, patience)
