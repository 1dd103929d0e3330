"""Terminal demo of lesson 02: two hangs of a blocking driver, three ways to query, in twenty seconds."""

import asyncio

from rich.console import Console, RenderableType
from rich.text import Text

from loopclinic.lessons.story.demo_output import BAD, race_table
from loopclinic.lessons.sync_database import ladder
from loopclinic.lessons.sync_database.story import brand_audits, hang, patient, race
from loopclinic.units import duration

SCENE = (
    "Audits of brands, on one event loop, with a driver that blocks.\n"
    "An audit keeps its connection while it asks a language model."
)


async def demo(console: Console) -> RenderableType:
    """Hang this process's own loop in two ways, with a deadline; then measure three ways to query."""
    dsn = await brand_audits()
    for title, companies, what in (
        ("A dry pool", [1, 2, 3], "Three audits, two connections"),
        ("A locked row", [4, 4], "Two audits, one company"),
    ):
        console.print(f"{what} ...")
        found = await hang(patient, dsn, companies, connections=2, title=title)
        if found.stall is not None:
            console.print(Text(f"STUCK for {duration(found.stall.seconds)}", style=BAD))
        console.print(f"{found}\n", highlight=False)
    ways = (ladder.blocking, ladder.on_threads, ladder.native)
    result = await asyncio.to_thread(race, *ways, dsn=dsn, rounds=2, seconds=0.8)
    console.print(race_table(result, "ten connections, queries of 20 ms"))
    return result.sentence
