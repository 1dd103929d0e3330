"""A database that a notebook's cells share; it ends with the kernel."""

import asyncio
import atexit
from collections.abc import Callable

from loopclinic.servers.postgres import Database, database

__all__ = ["KernelDatabase"]


class KernelDatabase:
    """A database called `name` that `lay_out(dsn)` fills."""

    def __init__(self, name: str, lay_out: Callable[[str], None]) -> None:
        self._name = name
        self._lay_out = lay_out
        self._database: Database | None = None

    async def address(self) -> str:
        """Return the address; the first time, make the database and fill it."""
        if self._database is None:
            one = database(self._name)
            await one.start_async()
            try:
                await asyncio.to_thread(self._lay_out, one.dsn)
            except BaseException:
                await one.close_async()
                raise
            atexit.register(one.close)
            self._database = one
        return self._database.dsn
