"""What PostgreSQL has of the updates, and of the sessions that write them, asked from outside."""

from collections.abc import Iterable
from contextlib import AbstractContextManager

from loopclinic.servers.postgres_sessions import SessionMonitor

__all__ = ["Ledger"]


class Ledger(SessionMonitor):
    """Looks at the tables and sessions of the database at `dsn`, and holds its rows."""

    def __init__(self, dsn: str, *, unnamed: bool = False) -> None:
        super().__init__(dsn, "ledger", unnamed=unnamed)

    def stored(self, ids: Iterable[str]) -> set[str]:
        """Return which of these updates are stored."""
        rows = self.rows("select id from updates where id = any(%s)", list(ids))
        return {row[0] for row in rows}

    def labelled(self, label: str) -> int:
        """Return how many updates are stored whose id begins with this label."""
        return int(self.rows("select count(*) from updates where starts_with(id, %s)", label)[0][0])

    def miscounted(self) -> int:
        """Return how many messages have another number of updates than is counted at them."""
        return int(
            self.rows(
                "select count(*) from messages where updates <>"
                " (select count(*) from updates where message_id = messages.id)"
            )[0][0]
        )

    def statistics(self) -> tuple[int, int]:
        """Return how many sessions this database had, and how many their client abandoned.

        Raises:
            psycopg.Error: the server is older than 14, and does not count them.
        """
        total, cut = self.rows(
            "select sessions, sessions_abandoned from pg_stat_database"
            " where datname = current_database()"
        )[0]
        return int(total), int(cut)

    def clear(self) -> None:
        """Forget every update."""
        self.rows("truncate updates")
        self.rows("update messages set updates = 0, status = 'queued'")

    def hold(self) -> AbstractContextManager[None]:
        """Hold every message's row: the database stands still for whoever wants to write there."""
        return self.holding("select 1 from messages for no key update")
