"""Terminal demo of lesson 07: twenty clips saved on the loop, chunk by chunk and in pieces, in about fifteen seconds."""

import asyncio

from rich.console import Console
from rich.text import Text

from loopclinic.lessons.file_io import LESSON, ladder
from loopclinic.lessons.file_io.story import race
from loopclinic.lessons.story.demo_output import BAD, GOOD, begin, end, table
from loopclinic.units import span


async def demo(console: Console) -> None:
    """Save 200 MB for 20 clients at once: on the loop, chunk by chunk, and in pieces."""
    begin(
        console,
        LESSON,
        "Twenty clients send a clip of 10 MB each, and each clip is written and synced.",
    )
    ways = (ladder.blocking, ladder.hop_a_chunk, ladder.pieces)
    found = await asyncio.to_thread(race, *ways, rounds=1, progress=False)
    rows = table("", "loop late by (p99)", "MB/s", "memory", "hops")
    for one in found.runners:
        name = Text(one.name, GOOD if one.name == "pieces" else BAD)
        figures = f"{one.typical('rate'):.0f}", f"{one.typical('memory'):.0f} MB"
        rows.add_row(name, span(one.typical("lag")), *figures, f"{one.typical('hops'):,.0f}")
    console.print(rows)
    end(console, LESSON)
