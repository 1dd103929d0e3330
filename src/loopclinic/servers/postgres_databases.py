"""The databases on the kit's own server: one for each who asks, and a way out when it is damaged."""

import contextlib
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from loopclinic.servers.postgres_admin import (
    connect,
    create_database,
    describe_databases,
    drop_database,
    our_databases,
)
from loopclinic.servers.postgres_folder import LEARNER
from loopclinic.servers.process import ServerError

__all__ = ["Databases"]

_PATIENCE = 5.0
"""Seconds that a server which was killed may take until it answers again."""
_PAUSE = 0.05
_DAMAGED = re.compile(
    # Classes of SQLSTATE: missing files, corruption, and roles or databases that initdb made.
    r"^(58|XX|28|3D|F0)"
    # A connection that fails has no SQLSTATE; the server speaks English.
    r"|authentication failed|does not exist|could not (open|read|access)|invalid page|not a valid"
)
_PASSING = re.compile(r"^(08|57P)|^ ")


class Databases:
    """Makes and drops databases, one statement at a time.

    `address` gives the superuser's address, or with a name that of a database for its owner; `owned`
    the names in use; `remake` makes the data folder anew. All are called from several threads.
    """

    def __init__(
        self, address: Callable[..., str], owned: Callable[[], set[str]], remake: Callable[[], Any]
    ) -> None:
        self._address = address
        self._owned = owned
        self._remake = remake
        self._lock = threading.Lock()

    def create(self, name: str) -> None:
        """Make a database, and drop those that nobody owns.

        Raises:
            ServerError: the server refuses, or doesn't work on a fresh data folder either.
        """
        with self._lock:
            remade = False
            deadline = time.monotonic() + _PATIENCE
            while True:
                try:
                    self._create(name)
                except psycopg.Error as error:
                    said = f"{error.sqlstate or ''} {error}"
                    late = time.monotonic() > deadline
                    alone = self._owned() <= {name}
                    if not remade and (_DAMAGED.search(said) or (late and alone)):
                        self._remake()
                        remade = True
                        deadline = time.monotonic() + _PATIENCE
                    elif late or not _PASSING.search(said):
                        raise ServerError(
                            f"PostgreSQL refused a database ({str(error).strip()}): loopclinic servers "
                            "down --force ends it, and the next use starts it anew.",
                            said,
                        ) from error
                    else:
                        time.sleep(_PAUSE)
                else:
                    return

    def drop(self, *names: str) -> None:
        """Drop databases; what a dead server keeps is dropped by the next `create`."""
        with self._lock, contextlib.suppress(psycopg.Error):
            if names:
                with connect(self._address()) as admin:
                    for name in names:
                        drop_database(admin, name)

    def describe(self) -> list[dict[str, Any]]:
        """Return name, bytes and connections of each; none where the server doesn't answer."""
        try:
            with connect(self._address()) as admin:
                return describe_databases(admin)
        except psycopg.Error:
            return []

    def _create(self, name: str) -> None:
        with connect(self._address()) as admin:
            owned = self._owned()
            for other in our_databases(admin):
                if other not in owned or other == name:  # an attempt before may have come half way
                    drop_database(admin, other)
            create_database(admin, name, LEARNER)
        # A template that lost its files is copied without complaint.
        connect(self._address(name)).close()
