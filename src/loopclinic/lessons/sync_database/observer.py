"""A look at the audits' database from outside: its sessions, its tables, its companies' rows."""

from contextlib import AbstractContextManager

from loopclinic.servers.postgres_sessions import SessionMonitor

__all__ = ["Observer"]


class Observer(SessionMonitor):
    """Looks at the database at `dsn`, and holds rows so that others wait for them."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, "observer")

    def hold(self, company: int | None = None) -> AbstractContextManager[None]:
        """Hold a company's row, or all of them, so that whoever wants to write it waits."""
        # No key update: audits that refer to the company can still be entered.
        return self.holding(
            "select 1 from companies where %s::int is null or id = %s for no key update",
            company,
            company,
        )
