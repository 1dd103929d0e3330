"""Terminal demo of lesson 07: twenty clips saved on the loop, chunk by chunk and in pieces, in about fifteen seconds."""

import asyncio

from rich.console import Console, RenderableType

from loopclinic.lessons.file_io import ladder
from loopclinic.lessons.file_io.story import race
from loopclinic.lessons.story.demo_output import add_row, table
from loopclinic.units import span

SCENE = "Twenty clients send a clip of 10 MB each, and each clip is written and synced."


async def demo(console: Console) -> RenderableType:
    """Save 200 MB for 20 clients at once: on the loop, chunk by chunk, and in pieces."""
    ways = (ladder.blocking, ladder.hop_a_chunk, ladder.pieces)
    found = await asyncio.to_thread(race, *ways, rounds=1, progress=False)
    rows = table("", "loop late by (p99)", "MB/s", "memory", "hops")
    for one in found.runners:
        figures = span(one.typical("lag")), f"{one.typical('rate'):.0f}"
        more = f"{one.typical('memory'):.0f} MB", f"{one.typical('hops'):,.0f}"
        add_row(rows, one.name, *figures, *more, good=one.name == "pieces")
    return rows
