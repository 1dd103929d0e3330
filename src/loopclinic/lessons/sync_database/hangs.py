"""A hang on the running loop, with a deadline: which line, and what PostgreSQL saw meanwhile."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from psycopg import Connection
from psycopg_pool import ConnectionPool

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.sync_database.observer import Observer
from loopclinic.probe import Probe, Stall
from loopclinic.servers.postgres_monitor import named
from loopclinic.servers.postgres_sessions import Session

__all__ = ["Hang", "hang"]

Audit = Callable[[ConnectionPool, int], Awaitable[Any]]

_ASK_AFTER = 0.3


@dataclass(frozen=True, repr=False)
class Hang:
    """What was found while the loop was stuck, and how it ended."""

    title: str
    stall: Stall | None
    sessions: tuple[Session, ...]
    endings: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        if self.stall is None:
            return f"{self.title}: no hang; {', '.join(self.endings)} after {span(self.seconds)}."
        rows = "; ".join(f"{one.pid}: {one.says}" for one in self.sessions)
        return f"{self.title}: {self._found()} PostgreSQL: {rows}. It ended by {self.end}."

    __repr__ = __str__

    def _found(self) -> str:
        assert self.stall is not None
        seen = self.stall.first_seen
        when = f" {span(seen)} after it began" if seen is not None else ""
        return f"stuck at {self.stall.where}, {self.stall.code}, named{when}."

    @property
    def end(self) -> str:
        """The first error by which it ended, in words."""
        return next((one for one in self.endings if one != "done"), "itself")

    def _repr_html_(self) -> str:
        if self.stall is None:
            return Drawing.note(str(self))._repr_html_()
        seen = self.stall.first_seen
        when = f", named {span(seen)} after it began" if seen is not None else ""
        rows = "".join(
            f"<tr><td>{one.pid}</td><td><b>{escape(one.says)}</b></td>"
            f"<td><code>{escape(_short(one.query))}</code></td></tr>"
            for one in self.sessions
        )
        head = "<tr><th>Session</th><th>PostgreSQL says</th><th>Its last statement</th></tr>"
        return Drawing(
            f"<p><b>{escape(self.title)}.</b> The loop stood at {escape(self.stall.where)}{when}:"
            f"<br><code>{escape(self.stall.code or '')}</code></p>"
            f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
            f"<p>No deadlock, no error, no CPU. A deadline of ours ended it after {span(self.stall.seconds)}: "
            f"<code>{escape(self.end)}</code></p>",
            str(self),
        )._repr_html_()


async def hang(
    audit: Audit,
    dsn: str,
    companies: Sequence[int],
    *,
    connections: int,
    title: str,
    patience: float = 2.0,
) -> Hang:
    """Run `audit(pool, company)` for each company at once, on the running loop.

    Whoever waits for a connection or a lock gives up after `patience` seconds; without that, a
    hang would last for good. PostgreSQL is asked meanwhile, from another thread.
    """
    address = named(dsn, "hang")

    def bound(connection: Connection[Any]) -> None:
        connection.execute("select set_config('lock_timeout', %s, false)", [f"{patience}s"])
        connection.commit()

    pool = ConnectionPool(
        address,
        min_size=connections,
        max_size=connections,
        timeout=patience,
        configure=bound,
        open=True,
    )
    try:
        await asyncio.to_thread(pool.wait)
        with Probe() as probe, Observer(dsn) as observer:
            seen: list[Session] = []
            over = threading.Event()

            def look() -> None:
                while not over.wait(0.02):
                    stall = probe.current()
                    if stall is not None and stall.seconds > _ASK_AFTER:
                        seen.extend(observer.sessions("hang"))
                        return

            asker = threading.Thread(target=look, name="asks-postgresql", daemon=True)
            asker.start()
            began = time.perf_counter()
            try:
                found = await asyncio.gather(
                    *(audit(pool, company) for company in companies), return_exceptions=True
                )
            finally:
                over.set()
                await asyncio.to_thread(asker.join, 5)
            seconds = time.perf_counter() - began
            await asyncio.sleep(0)
            stalls = [one for one in probe.stalls if one.seconds > patience / 2]
    finally:
        pool.close()
    worst = max(stalls, key=lambda one: one.seconds, default=None)
    return Hang(title, worst, tuple(seen), tuple(map(_ended, found)), seconds)


def _ended(result: Any) -> str:
    if isinstance(result, BaseException):
        return f"{type(result).__name__}: {str(result).splitlines()[0] if str(result) else ''}"
    return "done"


def _short(query: str) -> str:
    return query if len(query) <= 60 else f"{query[:57]}..."  # noqa: PLR2004 - fits the column
