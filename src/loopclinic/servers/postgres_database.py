"""A database of its own for one lesson or check, dropped when it ends."""

import contextlib
import os
import re
import secrets
from typing import TYPE_CHECKING, Literal

from loopclinic.servers.postgres_lease import Lease
from loopclinic.servers.process import ServerError
from loopclinic.servers.twin import Twin

if TYPE_CHECKING:
    from loopclinic.servers.postgres_foreign import ForeignDatabase

__all__ = ["VARIABLE", "Database"]

VARIABLE = "DATABASE_URL"


class Database(Twin[str]):
    """A database of its own: `with` binds its address, and its end drops it with its connections.

    It lies on the server that DATABASE_URL names, where that is set, else on the kit's own server,
    held by `lease` or by a lease of its own. On a server of yours whose user may not create
    databases it is a schema (`kind`), and the only one searched.
    """

    def __init__(self, name_hint: str = "lesson", *, lease: Lease | None = None) -> None:
        hint = re.sub(r"[^a-z0-9]+", "_", name_hint.lower()).strip("_")[:24] or "lesson"
        self.name = f"loopclinic_{hint}_{secrets.token_hex(4)}"
        self.kind: Literal["database", "schema"] = "database"
        self.dsn = ""
        self._label = name_hint
        self._shared = lease
        self._lease: Lease | None = None
        self._foreign: ForeignDatabase | None = None

    def given(self) -> str:
        """Return the address."""
        return self.dsn

    def start(self) -> "Database":
        """Make the database and set `dsn`.

        Raises:
            ServerError: there is no server to be had, or it refuses; the message names the repair.
        """
        if self.dsn:
            return self
        address = os.environ.get(VARIABLE, "").strip()
        if address and self._shared is None:
            from loopclinic.servers.postgres_foreign import (  # noqa: PLC0415 - a driver takes its time to import
                ForeignDatabase,
            )

            foreign = ForeignDatabase(address, self.name)
            foreign.start()
            self._foreign, self.dsn, self.kind = foreign, foreign.dsn, foreign.kind
            return self
        lease = self._shared or Lease(self._label)
        lease.start()
        try:
            lease.create(self.name)
        except BaseException:
            if lease is not self._shared:
                lease.close()
            raise
        self._lease = lease
        self.dsn = lease.dsn(self.name)
        return self

    def close(self) -> None:
        """Drop the database, whoever is still connected to it. Idempotent.

        A server that is gone is no error: what it keeps is dropped when it is back.
        """
        self.dsn = ""
        foreign, self._foreign = self._foreign, None
        lease, self._lease = self._lease, None
        if foreign is not None:
            foreign.close()
        if lease is not None:
            with contextlib.suppress(ServerError):
                lease.drop(self.name)
            if lease is not self._shared:
                lease.close()

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}{'' if self.dsn else ', closed'}>"
