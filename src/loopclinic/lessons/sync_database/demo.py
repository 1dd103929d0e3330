"""Before and after, live in the terminal: about twenty seconds."""

import asyncio

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loopclinic.lessons.sync_database import LESSON, ladder
from loopclinic.lessons.sync_database.hangs import Hang, hang
from loopclinic.lessons.sync_database.race import Race, race
from loopclinic.lessons.sync_database.scenes import brand_audits, patient
from loopclinic.lessons.terminal import BAD, GOOD, begin, end, table
from loopclinic.units import duration

__all__ = ["demo"]


async def demo(console: Console) -> None:
    """Hang this process's own loop in two ways, with a deadline; then measure three ways to query."""
    begin(
        console,
        LESSON,
        "Audits of brands, on one event loop, with a driver that blocks.\n"
        "An audit keeps its connection while it asks a language model.",
    )
    dsn = await brand_audits()
    for title, companies, what in (
        ("A dry pool", [1, 2, 3], "Three audits, two connections"),
        ("A locked row", [4, 4], "Two audits, one company"),
    ):
        console.print(f"{what} ...")
        _show(console, await hang(patient, dsn, companies, connections=2, title=title))
    ways = (ladder.blocking, ladder.on_threads, ladder.native)
    found = await asyncio.to_thread(race, dsn, *ways, rounds=2, seconds=0.8)
    console.print(_table(found))
    console.print(found.sentence, highlight=False)
    end(console, LESSON)


def _show(console: Console, found: Hang) -> None:
    stall = found.stall
    if stall is None:
        console.print(str(found))
        return
    console.print(Text(f"{found.title}: STUCK for {duration(stall.seconds)}", style=BAD))
    console.print(Text(f"    {stall.where}  {stall.code}", style="italic"))
    for session in found.sessions:
        console.print(f"    PostgreSQL session {session.pid}: {session.says}", highlight=False)
    console.print(f"    ended by a deadline of ours: {found.end}\n", highlight=False)


def _table(found: Race) -> Table:
    rows = table("ten connections, queries of 20 ms", "queries/s", "of the bound", "lag p99")
    for one in found.runners:
        rate, lag = one.typical("rate"), one.typical("lag")
        style = GOOD if lag < 0.1 else BAD  # noqa: PLR2004 - what a caller notices
        rows.add_row(
            one.name,
            f"{rate:.0f}",
            f"{rate / found.bound:.0%}",
            Text(duration(lag), style=style),
        )
    return rows
