"""What other tools say about a job that hangs on its loop: each is run, and quoted."""

import asyncio
import json
from random import Random
from typing import TYPE_CHECKING

from loopclinic.lessons.core.connections import meanwhile
from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.opinions import (
    Opinion,
    dumped,
    lint_shipped,
    of_scope,
    said,
    slow_callback,
    suspect,
    table,
)
from loopclinic.lessons.sync_database import LESSON
from loopclinic.lessons.sync_database.hangs import Hang
from loopclinic.lessons.sync_database.observer import Observer
from loopclinic.lessons.sync_database.records import companies, draw, enter
from loopclinic.servers.postgres_monitor import named

if TYPE_CHECKING:
    from loopclinic.servers.postgres_sessions import Session

__all__ = ["diagnose"]

_SUSPECT = "loopclinic.lessons.sync_database.suspect"


async def diagnose(dsn: str, hang: Hang | None = None) -> Drawing:
    """Run each tool on the lab as shipped, hung in a process of its own; quote what they say.

    `hang` is one that the scope saw, for the last line. Takes about three seconds.
    """
    program, linter = await asyncio.gather(_suspect(dsn), lint_shipped(LESSON))
    findings = [
        *program[:2],
        Opinion(
            "ruff, the lab file",
            "ruff check --select ASYNC",
            said(linter),
            "-",
            "that it is a driver",
        ),
        *program[2:],
    ]
    if hang is not None and hang.stall is not None:
        findings.append(of_scope(hang.stall, "who has the connections"))
    return table(findings)


async def _suspect(dsn: str) -> list[Opinion]:
    """Run the lab as shipped until it hangs, and read what was said meanwhile."""
    name = "suspect"
    with await asyncio.to_thread(Observer, dsn) as observer:
        last = await asyncio.to_thread(observer.rows, "select coalesce(max(id), 0) from audits")
        first = 1 + int(last[0][0])
        audits = draw(Random(first), companies()[:3], first=first, queries=1)  # noqa: S311 - no secret
        await asyncio.to_thread(enter, observer.connection, audits)
        order = {"dsn": named(dsn, name), "audits": [one.id for one in audits]}
        heard = json.dumps(order).encode() + b"\n"
        talk = asyncio.ensure_future(suspect(_SUSPECT, heard=heard))
        try:
            sessions: list[Session] = []
            while not talk.done():
                now = await asyncio.to_thread(observer.sessions, name)
                # At its end they close one after another: the hang is when there are most.
                sessions = max(now, sessions, key=len)
                await asyncio.wait([talk], timeout=0.1)
            out, dump = await talk
        finally:
            talk.cancel()
        deadlocks = (
            await asyncio.to_thread(
                observer.rows,
                "select deadlocks from pg_stat_database where datname = current_database()",
            )
        )[0][0]
    facts = next(json.loads(line) for line in out.splitlines() if line.startswith("{"))
    slow = [line for line in out.splitlines() if line.startswith("asyncio: Exec")]
    place = dumped(dump, "02_sync_database.py")
    seen = meanwhile(sessions).strip(" .") or "no session"
    return [
        Opinion(
            "a CPU graph",
            "time.process_time()",
            f"{facts['cpu']:.1%} of a core",
            "an idle service",
            "that it will be idle for good",
        ),
        Opinion(
            "debug mode",
            "python -X dev",
            slow_callback(slow[-1]) if slow else "nothing",
            "-",
            "a callback that never ends: it speaks afterwards",
        ),
        Opinion("a stack dump", "faulthandler", place, "the line", "why it waits"),
        Opinion(
            "deadlock detector",
            "pg_stat_database",
            f"{deadlocks} deadlocks",
            "-",
            "a wait that goes through your loop",
        ),
        Opinion(
            "PostgreSQL's sessions", "pg_stat_activity", seen, "who has what", "that it is one loop"
        ),
    ]
