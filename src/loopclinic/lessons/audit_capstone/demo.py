"""Terminal demo of lesson 14: the job hangs, what PostgreSQL says of it, and three designs that end."""

import asyncio
from typing import Any

from rich.console import Console, RenderableType

from loopclinic.lessons.audit_capstone import story
from loopclinic.lessons.audit_capstone.ladder import DESIGNS
from loopclinic.lessons.story.demo_output import add_row, table
from loopclinic.units import span

SCENE = "Thirty audits are queued, and the job as it ships takes them."


async def demo(console: Console) -> RenderableType:
    """Start the job as it ships and look at it; then run three finished designs."""
    dsn = await story.database()
    job = await story.start_job(dsn)
    try:
        console.print((await job.idle()).drawing().text, highlight=False)
    finally:
        job.kill()
    console.print("\nThree designs that end, with the same audits ...\n")
    rows = table("", "audits/s", "of what the models allow", "lag p99")
    options: dict[str, Any] = {"dsn": dsn, "rounds": 1, "progress": False}
    found = await asyncio.to_thread(story.race, *DESIGNS, **options)
    for one in found.runners:
        figures = (one.typical(name) for name in ("rate", "share", "lag"))
        rate, share, lag = figures
        add_row(rows, one.name, f"{rate:.0f}", f"{share:.0%}", span(lag), good=share > 0.5)
    return rows
