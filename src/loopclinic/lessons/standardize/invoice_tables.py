"""Sample code base of lesson 13: its folder, and its tables created in a database."""

import contextlib
from pathlib import Path

import psycopg

from loopclinic.paths import kit_data


def sample() -> Path:
    """Return the folder of the sample code base.

    Raises:
        KitNotFoundError: the kit's `data/` folder is not found.
    """
    return kit_data("samples", "moorings")


def lay_out(dsn: str) -> None:
    """Create the tables of the sample code base in the empty database at `dsn`.

    Raises:
        KitNotFoundError: the kit's `data/` folder is not found.
        psycopg.Error: the database can't be reached or is not empty.
    """
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        connection.execute((sample() / "schema.sql").read_bytes())
        with contextlib.suppress(psycopg.Error), connection.transaction():
            # A lab that never gives up a lock hangs on it: an error after a while says more.
            name = psycopg.sql.Identifier(connection.info.dbname)
            query = psycopg.sql.SQL("alter database {} set lock_timeout = '4s'").format(name)
            connection.execute(query)
