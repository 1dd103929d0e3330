"""PostgreSQL database shared by a notebook's cells; it ends with the kernel."""

import asyncio
import atexit
from collections.abc import Callable

from loopclinic.servers.postgres import Database


class KernelDatabase:
    """A database called `name` that `lay_out(dsn)` fills."""

    def __init__(self, name: str, lay_out: Callable[[str], None]) -> None:
        self._name = name
        self._lay_out = lay_out
        self._database: Database | None = None

    async def address(self) -> str:
        """Return the address; make the database and fill it where there is none yet."""
        if self._database is None or not self._database.running:
            one = Database(self._name)
            await one.start_async()
            try:
                await asyncio.to_thread(self._lay_out, one.dsn)
            except BaseException:
                await one.close_async()
                raise
            atexit.register(one.close)
            self._database = one
        return self._database.dsn
