"""Terminal demo of lesson 10: an outage in virtual time, met by retries, limits and a breaker, in about ten seconds."""

import asyncio
from math import inf

from rich.console import Console, RenderableType

from loopclinic.lessons.failing_upstreams import ladder
from loopclinic.lessons.failing_upstreams.story import RATE, SICK_FROM, SICK_UNTIL, outage
from loopclinic.lessons.story.demo_output import add_row, table

SCENE = (
    f"{RATE} callers a second. The service is sick for {SICK_UNTIL - SICK_FROM} s, then well again.\n"
    "Played in virtual time."
)


async def demo(console: Console) -> RenderableType:
    """Play an outage for three attempts with timeouts, then for each rung."""
    rows = table("", "prices again after", "calls it had to bear", "slowest caller")
    for way in (ladder.retried, ladder.limited, ladder.crowding, ladder.guarded):
        found = await asyncio.to_thread(outage, way)
        well = found.recovered < inf
        after = f"{found.recovered:.0f} s" if well else "never"
        figures = after, f"{found.borne:,}", f"{found.waited:.1f} s"
        add_row(rows, found.name, *figures, good=well)
    return rows
