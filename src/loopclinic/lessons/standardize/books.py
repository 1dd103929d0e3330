"""The sample code base, and its tables laid out in a database."""

import contextlib
from pathlib import Path

import psycopg

from loopclinic.places import kit_data

__all__ = ["lay_out", "sample"]


def sample() -> Path:
    """Return the folder of the sample code base.

    Raises:
        KitNotFoundError: the kit's `data/` folder is nowhere to be found.
    """
    return kit_data("samples", "moorings")


def lay_out(dsn: str) -> None:
    """Make the tables of the sample code base in the empty database at `dsn`.

    Raises:
        KitNotFoundError: the kit's `data/` folder is nowhere to be found.
        psycopg.Error: the database can't be reached or is not empty.
    """
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        connection.execute((sample() / "schema.sql").read_bytes())
        with contextlib.suppress(psycopg.Error), connection.transaction():
            # A lab that keeps a lock for good hangs on it: an error after a while says more.
            name = psycopg.sql.Identifier(connection.info.dbname)
            connection.execute(
                psycopg.sql.SQL("alter database {} set lock_timeout = '4s'").format(name)
            )
