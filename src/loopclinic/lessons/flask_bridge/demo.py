"""Before and after, live in the terminal: about twenty seconds."""

import asyncio

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loopclinic.lessons.flask_bridge import LESSON, ladder
from loopclinic.lessons.flask_bridge.deploy import RATE, Deploy, deploy
from loopclinic.lessons.flask_bridge.race import Race, race
from loopclinic.lessons.flask_bridge.scenes import deliveries
from loopclinic.lessons.terminal import BAD, GOOD, begin, end, table

__all__ = ["demo"]


async def demo(console: Console) -> None:
    """Deploy two ways under load and count what is lost; then measure two ways to wait."""
    begin(
        console,
        LESSON,
        f"Delivery statuses arrive at Flask, {RATE:.0f} a second; the code that stores them is\n"
        "asynchronous. In the middle of the load comes SIGTERM.",
    )
    dsn = await deliveries()
    for way, what in (
        (ladder.DaemonThreads, "A daemon thread with a loop of its own for each"),
        (ladder.DrainedBridge, "One loop on a thread, a bridge to it, drained"),
    ):
        console.print(f"{what} ...")
        _show(console, await deploy(way, dsn, seconds=1.0))
    ways = (ladder.LoopPerRequest, ladder.DrainedBridge)
    found = await asyncio.to_thread(race, dsn, *ways, rounds=2, seconds=0.6)
    console.print(_table(found))
    console.print(found.sentence, highlight=False)
    end(console, LESSON)


def _show(console: Console, run: Deploy) -> None:
    console.print(
        Text(
            f"    {run.promised} answered 204, {run.lost} of them lost",
            style=BAD if run.lost else GOOD,
        )
    )
    console.print(
        f"    up to {run.threads} threads and {run.connections} connections\n", highlight=False
    )


def _table(found: Race) -> Table:
    rows = table("eight threads", "webhooks/s", "p99", "connections")
    for one in found.runners:
        rows.add_row(
            one.name,
            f"{one.typical('rate'):.0f}",
            f"{one.typical('p99') * 1000:.0f} ms",
            f"{one.spread('connections')[1]:.0f}",
        )
    return rows
