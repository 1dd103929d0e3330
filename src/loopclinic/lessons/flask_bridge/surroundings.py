"""What surrounds a lab while it is rehearsed: its servers, webhooks for them, PostgreSQL asked from outside."""

import asyncio
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from loopclinic.lessons.flask_bridge.ledger import Ledger
from loopclinic.lessons.flask_bridge.updates import Webhook, draw
from loopclinic.lessons.lesson import Stage
from loopclinic.lessons.offload import Offload
from loopclinic.servers.postgres_monitor import named
from loopclinic.servers.process import ServerError
from loopclinic.servers.wsgi import WsgiServer

__all__ = ["GRACE", "SIZE", "THREADS", "Surroundings"]

_sleep, _wait, _perf_counter = asyncio.sleep, asyncio.wait, time.perf_counter

THREADS = 8
SIZE = 4
GRACE = 3.0
"""Seconds that `close()` gets."""
_LOOK = 0.1


class Surroundings(Offload):
    """A lab, a stage and a ledger; what every step of a rehearsal needs of them."""

    def __init__(
        self, lab: ModuleType, stage: Stage, ledger: Ledger, own: ThreadPoolExecutor
    ) -> None:
        super().__init__(own)
        file = Path(str(lab.__file__))
        self.file = file.parent if file.name == "__init__.py" else file
        self.stage = stage
        self.ledger = ledger
        self.secret = stage.rng.randbytes(16)

    def server(self, name: str, timeout: float) -> WsgiServer:
        """Return a server of the lab's, not started; `name` is the one its sessions carry."""
        return WsgiServer(
            "loopclinic.lessons.flask_bridge.hosted:Hosted",
            {
                "file": str(self.file),
                "dsn": named(self.stage.services["postgres"], name),
                "secret": self.secret.hex(),
                "size": SIZE,
                "timeout": timeout,
            },
            threads=THREADS,
            grace=GRACE,
            linger=2.0,
            label="the receiver's server",
        )

    async def start(self, *servers: WsgiServer) -> dict[str, Any] | None:
        """Start the lab's servers; return what a reason needs of one that did not, or None.

        Raises:
            ServerError: PostgreSQL went away meanwhile: what a lab makes of that is not judged.
        """
        starting = asyncio.gather(*(one.start_async() for one in servers), return_exceptions=True)
        try:
            while not starting.done():
                await _wait([starting], timeout=_LOOK)
                await self.outside(self.ledger.look)
        finally:
            starting.cancel()
            await _wait([starting])
        for trouble in starting.result():
            if isinstance(trouble, ServerError):
                return self._of_start(trouble)
        return None

    def _of_start(self, error: ServerError) -> dict[str, Any]:
        places = re.findall(rf'File "({re.escape(str(self.file))}[^"]*)", line (\d+)', error.detail)
        file, line = places[-1] if places else (None, None)
        place = {"file": file, "line": int(line), "code": ""} if file and line else None
        message = str(error).partition(" could not be started: ")[2] or str(error)
        return {"message": message[:300], "place": place}

    def draw(self, count: int, label: str) -> list[Webhook]:
        """Draw genuine webhooks."""
        return draw(self.stage.rng, count, secret=self.secret, label=label)

    async def settled(self, webhooks: Sequence[Webhook], patience: float = 1.0) -> set[str]:
        """Return the ids of these that are stored, once all are, or after `patience` seconds."""
        ids = {one.id for one in webhooks}
        ends = _perf_counter() + patience
        while True:
            stored = await self.outside(self.ledger.stored, ids)
            if stored == ids or _perf_counter() > ends:
                return stored
            await _sleep(0.03)
