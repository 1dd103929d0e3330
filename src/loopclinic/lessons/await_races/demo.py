"""Terminal demo of lesson 09: a check and a count against one atomic step, in about ten seconds."""

import asyncio

from rich.console import Console, RenderableType

from loopclinic.lessons.await_races import ladder
from loopclinic.lessons.await_races.story import LIMIT, playing, send_codes
from loopclinic.lessons.schedules.search import search_schedules
from loopclinic.lessons.story.demo_output import add_row, table

CALLS = 100

SCENE = (
    f"{CALLS} calls ask for a code at once. {LIMIT} may be sent, counted in a real Valkey.\n"
    "Then the same code plays 500 schedules in virtual time."
)


async def demo(console: Console) -> RenderableType:
    """Send codes by a check and a count, then by one step, and search the schedules of both."""
    rows = table("", f"sent of {CALLS}", "schedules that break it", "the smallest")
    for way in (ladder.check_then_count, ladder.one_step):
        sent = await send_codes(way, CALLS)
        found = await asyncio.to_thread(search_schedules, playing(way), 500)
        one = found.smallest
        broken = f"{len(found.broken)} of {found.seeds}"
        smallest = f"{len(one.steps)} steps, seed {one.seed}" if one else "-"
        add_row(rows, way.__name__, f"{sent.sent}", broken, smallest, good=one is None)
    return rows
