"""A cancel in the middle of a transaction, at each rung: what is left of it at PostgreSQL."""

import asyncio
from html import escape
from typing import NamedTuple

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.sync_database.observer import Observer
from loopclinic.lessons.sync_database.pools import Rung, opened
from loopclinic.probe import Probe
from loopclinic.servers.postgres_monitor import named

__all__ = ["cancelled"]

_LASTS = 1.5
_QUERY = "update companies set mentions = mentions where id = 1 returning pg_sleep(1.5)"
"""Takes a row's lock, and then its time."""


class _Finding(NamedTuple):
    name: str
    ended: float
    loop: float
    left: str
    locks: int


async def cancelled(dsn: str, *rungs: Rung, look_after: float = 0.3) -> Drawing:
    """Cancel each rung while its query runs; ask PostgreSQL `look_after` seconds later."""
    found = []
    with Observer(dsn) as observer, Probe() as probe:
        for rung in rungs:
            name = f"cancel {rung.__name__}"
            loop = asyncio.get_running_loop()
            async with opened(rung, named(dsn, name), 1) as pool:
                mark = probe.snapshot()
                task = asyncio.ensure_future(rung(pool, _QUERY))
                await asyncio.sleep(0.3)
                began = loop.time()
                task.cancel()
                await asyncio.wait([task])
                ended = loop.time() - began
                stuck = probe.snapshot().since(mark).lag.max
                await asyncio.sleep(look_after)
                sessions = await asyncio.to_thread(observer.sessions, name)
                open_ones = [one for one in sessions if one.in_transaction]
                locks = await asyncio.to_thread(
                    observer.rows,
                    "select count(*) from pg_locks where pid = any(%s) and mode = 'RowExclusiveLock'",
                    [one.pid for one in open_ones],
                )
                left = open_ones[0].state if open_ones else "nothing"
                found.append(_Finding(rung.__name__, ended, stuck, left, int(locks[0][0])))
                if open_ones:
                    await asyncio.sleep(_LASTS - look_after)
    rows = "".join(
        f"<tr><td><code>{escape(one.name)}</code></td><td>{span(one.ended)}</td>"
        f"<td>{span(one.loop)}</td><td><b>{escape(_words(one))}</b></td></tr>"
        for one in found
    )
    head = (
        "<tr><th>Cancelled in its query</th><th>The task ended within</th><th>The loop stood for</th>"
        f"<th>PostgreSQL, {span(look_after)} later</th></tr>"
    )
    text = "\n".join(
        f"{one.name}: task ended within {span(one.ended)}, loop stood for {span(one.loop)}, "
        f"left at PostgreSQL: {_words(one)}."
        for one in found
    )
    return Drawing(f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>", text)


def _words(one: _Finding) -> str:
    if one.left == "nothing":
        return "nothing left"
    locks = ", its locks held" if one.locks else ""
    return f"still {one.left} in a transaction{locks}" if one.left == "active" else one.left + locks
