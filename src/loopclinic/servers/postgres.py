"""PostgreSQL for lessons and checks: the server that DATABASE_URL names, or one of the kit's own.

    with postgres() as dsn:          # or: async with postgres() as dsn:
        psycopg.connect(dsn)

Each use has a database of its own, dropped when it ends. The kit's own server is shared by all kernels
and checks of a user, and ends by itself some seconds after the last of them; see `Lease`.
"""

from loopclinic.servers.postgres_database import Database
from loopclinic.servers.postgres_lease import LINGER, Lease
from loopclinic.servers.postgres_status import remove, status
from loopclinic.servers.process import ServerError

__all__ = [
    "LINGER",
    "Database",
    "Lease",
    "ServerError",
    "database",
    "lease",
    "postgres",
    "remove",
    "status",
]


def postgres() -> Database:
    """Give a database of its own: `with` and `async with` bind its address.

    Where there is no block to put it in (a notebook), `start()` or `await start_async()` make it,
    `.dsn` is its address and `close()` drops it; the end of the process does so too.

    Raises:
        ServerError: on entry; the message names the repair.
    """
    return Database()


def database(name_hint: str, *, lease: Lease | None = None) -> Database:
    """Do as `postgres` does, with a hint in the name; `lease` is used instead of one of its own."""
    return Database(name_hint, lease=lease)


def lease(label: str = "") -> Lease:
    """Hold the kit's own server, without a database: `with` and `async with` bind the lease."""
    return Lease(label)
