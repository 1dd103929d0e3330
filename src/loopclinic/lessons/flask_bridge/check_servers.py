"""Servers of lab 03's `Receiver`: started, driven and asked by the scenes of its check; why one died."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from loopclinic.lessons.core import Judged, Place, Scene
from loopclinic.lessons.core.scene import from_json
from loopclinic.lessons.core.stacks import defined_at, line_at
from loopclinic.lessons.core.verdicts import broke
from loopclinic.lessons.database.sessions import named
from loopclinic.lessons.flask_bridge.receiver_app import LEFT_AT, Seen, Trouble
from loopclinic.lessons.flask_bridge.webhooks import (
    LOST,
    UNANSWERED,
    Ledger,
    Webhook,
    draw,
    lay_out,
)
from loopclinic.servers.server_process import ServerError
from loopclinic.servers.wsgi import WsgiServer
from loopclinic.units import count
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

THREADS, SIZE = 8, 4
TIMEOUT = 0.6
"""Seconds; of the receiver that meets a database that stands still."""
_PATIENT = 5.0
"""Seconds; of the receiver that gets SIGTERM: there, nothing shall run out of time."""
GRACE = 3.0
"""Seconds that `close()` gets."""
STORED, LATER, FORGED = 204, 503, 401
UNUSUAL = {str(LOST): "by a lost connection", str(UNANSWERED): "not at all"}

_LOOK = 0.1


class Receivers:
    """What scenes share: the servers `serving` and `ending`, and the `ledger` of the database."""

    def __init__(self, lab: ModuleType, stage: "Stage") -> None:
        file = Path(str(lab.__file__))
        self._file = file.parent if file.name == "__init__.py" else file
        self._init = defined_at(getattr(lab.Receiver, "__init__", None))
        self._stage, self._dsn = stage, stage.services["postgres"]
        self.secret = stage.rng.randbytes(16)
        self.over = False
        """Whether there is nothing left to drive."""
        self.end: tuple[str, Place | None] | None = None
        """Why a server did not start, or could not go on, and the lab's line."""
        self.ledger: Ledger
        self.serving = self._server("serving", TIMEOUT)
        self.ending = self._server("ending", _PATIENT)

    def _server(self, name: str, timeout: float) -> WsgiServer:
        """Return a server that is not started; `name` is the one its sessions carry."""
        options = {"file": str(self._file), "dsn": named(self._dsn, name), "size": SIZE}
        return WsgiServer(
            "loopclinic.lessons.flask_bridge.receiver_app:Hosted",
            {**options, "secret": self.secret.hex(), "timeout": timeout},
            threads=THREADS,
            grace=GRACE,
            linger=5.0,
            label="the receiver's server",
        )

    async def __aenter__(self) -> Self:
        await self._stage.outside(lay_out, self._dsn)
        self.ledger = await self._stage.outside(lambda: Ledger(self._dsn, unnamed=True))
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in (self.serving, self.ending):
            await server.close_async()
        self.ledger.connection.close()

    def died(self, when: str, error: ServerError, place: Place | None = None) -> None:
        """Record that a server of the lab's ended, and where, else at `place`; no more can be driven then."""
        said, _, raised = str(error).partition(" could not be started: ")
        # Before it left by itself, or at a crash in C.
        left = max(error.detail.rfind(LEFT_AT), error.detail.rfind("recent call first"))
        text = error.detail[left:].partition("\n\n")[0] if left >= 0 else raised and error.detail
        lines = re.findall(rf'File "({re.escape(str(self._file))}[^"]*)", line (\d+)', text)
        if lines:
            file, line = lines[0 if left >= 0 else -1]
            place = line_at(file, int(line))
        if left >= 0:
            said = f"{said.partition(': ')[0]}."  # what it printed last is where it left
        self.over, self.end = True, (f"{when}{(raised or said)[:300]}", place)

    async def start(self, server: WsgiServer) -> bool:
        """Start one and return whether it serves; if it can't be started, all is over.

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
        if isinstance(error, ServerError):
            what = "Receiver(dsn, secret, size=..., timeout=...) could not be served: "
            self.died(what, error, self._init)
        elif error is not None:
            raise error
        return not self.over

    async def seen(self, server: WsgiServer) -> Seen:
        """Return what was seen of the lab in this server's process."""
        found: Seen = from_json(Seen, await server.state_async())
        return found

    def draw(self, count: int, label: str) -> list[Webhook]:
        """Draw genuine webhooks."""
        return draw(self._stage.rng, count, secret=self.secret, label=label)

    async def stored(self, webhooks: Sequence[Webhook], patience: float = 1.0) -> set[str]:
        """Return the ids of these that are stored, once all are, or after `patience` seconds."""
        ids = {one.id for one in webhooks}
        look = partial(self._stage.outside, self.ledger.stored, ids)
        return await self._stage.until(look, ids.__eq__, patience)


class Driving(Scene[Any]):
    """A scene that drives a server of the lab's, and ends where that can't go on."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        receivers = await stage.shared(Receivers, lab, stage)
        if receivers.over:
            return None
        try:
            return await self.serve(receivers, stage)
        except ServerError as error:
            await stage.outside(receivers.ledger.look)  # else it is PostgreSQL that is gone
            receivers.died("In the middle of it, ", error)
            return None

    async def serve(self, receivers: Receivers, stage: "Stage") -> Any:
        """Drive the scene's server and return the finding."""
        raise NotImplementedError


class Death(Scene[Trouble]):
    """Why a server did not start, or could not go on."""

    title, promises, Found = "whether the servers still answer", (), Trouble

    def __init__(self, load: type[Driving]) -> None:
        self._load = load

    async def drive(self, lab: ModuleType, stage: "Stage") -> Trouble | None:
        receivers = await stage.shared(Receivers, lab, stage)
        return Trouble(*receivers.end) if receivers.end else None

    def judge(self, found: Trouble, judged: Judged) -> Iterator[Reason]:
        load = judged.found(self._load)
        step = "Nothing in a lab may end the process, or keep it from answering: raise, or return."
        if found.message.startswith("Receiver("):
            step = "Open what webhooks need in __init__, and set `app` to a Flask application."
        conflict = "nested-loop" if "running event loop" in found.message else None
        place = found.place or (load.made.view if load else None)
        yield broke(None, found.message, step, place, conflict=conflict)


def count_statuses(statuses: Iterable[int], *, besides: int | None = None) -> dict[str, int]:
    """Count answers by status; those of the status `besides` are left out."""
    return dict(Counter(str(one) for one in statuses if one != besides))


def refusals(answers: Mapping[str, int]) -> str:
    """Return what was answered instead of 204: `3 times 500, 1 time not at all`."""
    words = UNUSUAL | {str(STORED): f"{STORED} and not stored"}
    return ", ".join(
        f"{count(number, 'time')} {words.get(status, status)}"
        for status, number in sorted(answers.items())
    )
