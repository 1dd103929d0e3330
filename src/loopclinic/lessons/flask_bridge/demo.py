"""Terminal demo of lesson 03: a loop per thread or request against one drained bridge, in twenty seconds."""

import asyncio

from rich.console import Console, RenderableType
from rich.text import Text

from loopclinic.lessons.flask_bridge import ladder
from loopclinic.lessons.flask_bridge.story import RATE, deliveries, deploy, race
from loopclinic.lessons.story.demo_output import BAD, GOOD, race_table
from loopclinic.units import count

SCENE = (
    f"Delivery statuses arrive at Flask, {RATE:.0f} a second; the code that stores them is\n"
    "asynchronous. In the middle of the load comes SIGTERM."
)


async def demo(console: Console) -> RenderableType:
    """Deploy two ways under load and count what is lost; then measure two ways to wait."""
    dsn = await deliveries()
    for way, what in (
        (ladder.DaemonThreads, "A daemon thread with a loop of its own for each"),
        (ladder.DrainedBridge, "One loop on a thread, a bridge to it, drained"),
    ):
        console.print(f"{what} ...")
        run = await deploy(way, dsn, seconds=1.0)
        said = f"    {run.promised} answered 204, {run.lost} of them lost"
        console.print(Text(said, style=BAD if run.lost else GOOD))
        console.print(
            f"    up to {count(run.threads, 'thread')} and {count(run.connections, 'connection')}\n",
            highlight=False,
        )
    ways = (ladder.LoopPerRequest, ladder.DrainedBridge)
    found = await asyncio.to_thread(race, *ways, dsn=dsn, rounds=2, seconds=0.6)
    console.print(race_table(found, "eight threads"))
    return found.sentence
