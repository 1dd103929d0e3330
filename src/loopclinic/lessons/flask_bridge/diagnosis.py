"""What other tools say about a service that answers and forgets: each is asked, and quoted."""

import asyncio

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.flask_bridge import LESSON
from loopclinic.lessons.flask_bridge.deploy import Deploy
from loopclinic.lessons.flask_bridge.ledger import Ledger
from loopclinic.lessons.opinions import Opinion, lint_shipped, said, table

__all__ = ["diagnose"]


async def diagnose(run: Deploy, dsn: str) -> Drawing:
    """Ask each tool about a deploy that just was; about a second."""
    linter, sessions = await asyncio.gather(lint_shipped(LESSON), asyncio.to_thread(_sessions, dsn))
    return table(
        [
            Opinion(
                "the access log",
                "status codes",
                f"{run.promised} x 204, {run.failed} x anything but 503",
                "-",
                "what a 204 is worth",
            ),
            Opinion(
                "ruff, the lab file", "ruff check --select ASYNC", said(linter), "-", "threads"
            ),
            Opinion(
                "the process",
                "threading.active_count()",
                f"up to {run.threads} threads of its own making",
                "that they climb",
                "what dies with them",
            ),
            Opinion(
                "PostgreSQL",
                "pg_stat_database",
                sessions,
                "a session for each webhook, and those cut off",
                "which updates these were",
            ),
            Opinion(
                "a reconciliation",
                "ids answered 204, less rows",
                f"{run.lost} missing",
                "the loss, and which ones",
                "why: it needs the provider's list",
            ),
        ]
    )


def _sessions(dsn: str) -> str:
    with Ledger(dsn) as ledger:
        try:
            total, cut = ledger.statistics()
        except Exception as error:  # an older server has no such columns
            return f"{type(error).__name__}"
    return f"{total} sessions so far, {cut} abandoned by their client"
