"""Experiment of notebook 03: locks the table, sends webhooks, and draws which requests of each way hang."""

import asyncio
import time
from collections import Counter
from random import Random

from loopclinic.drawing.diagram import Arrow, Box, diagram
from loopclinic.drawing.live_drawing import LiveDrawing
from loopclinic.drawing.tables import Cell, Drawing, bar, code, span, table
from loopclinic.lessons.core.check_threads import entered
from loopclinic.lessons.flask_bridge.bridge_servers import THREADS, Way, all_served
from loopclinic.lessons.flask_bridge.webhooks import DEMO_SECRET, Delivery, Ledger, Provider, draw
from loopclinic.load.variant import name_of

_BEFORE = 0.1
"""Seconds for which webhooks have waited when somebody asks for the health."""


async def standstill(*ways: Way, dsn: str, seconds: float = 1.5) -> Drawing:
    """Hold every row for `seconds`; send a webhook for each thread, and ask for the health."""
    rows: list[list[str | Cell]] = []
    rng = Random(5)  # noqa: S311 - webhooks, not secrets
    with await asyncio.to_thread(Ledger, dsn) as ledger:
        async with all_served(*ways, dsn=dsn) as servers:
            for way, server in servers:
                name = name_of(way)
                async with Provider(server.url) as provider:
                    first = draw(rng, THREADS, secret=DEMO_SECRET, label=f"before {name}")
                    await provider.many(first, at_once=THREADS)
                    due = draw(rng, THREADS, secret=DEMO_SECRET, label=f"still {name}")
                    async with entered(ledger.hold()):
                        sent = [asyncio.create_task(provider.one(one)) for one in due]
                        await asyncio.sleep(_BEFORE)
                        healthy = asyncio.create_task(provider.health())
                        await _drawn(name, sent, ledger, seconds - _BEFORE)
                    answers, health = await asyncio.gather(*sent), await healthy
                counts = Counter(one.status for one in answers)
                came = ", ".join(f"{number} x {status}" for status, number in counts.items())
                color = "stall" if health > 0.7 * seconds else "calm"
                took = bar(health / max(seconds, health), color, words=span(health))
                rows.append([code(name), came, span(max(one.seconds for one in answers)), took])
    heads = ["Way", "Answers", "The last after", "GET /health, which needs no database, took"]
    note = f"The database hung for {span(seconds)}. {THREADS} webhooks "
    note += "came, one for each thread, and then came a health check."
    return table(heads, rows, note=note)


async def _drawn(
    way: str, sent: list[asyncio.Task[Delivery]], ledger: Ledger, lasts: float
) -> None:
    """Draw for `lasts` seconds how many webhooks wait for the bridge, and it for the table."""
    live: LiveDrawing | None = None
    ends = time.perf_counter() + lasts
    while (left := ends - time.perf_counter()) > 0:
        blocked = (await asyncio.to_thread(ledger.count, way)).waiting
        moment = crossing(way, answered=sum(one.done() for one in sent), blocked=blocked)
        live = live or LiveDrawing(moment)
        live.show(moment)
        await asyncio.sleep(min(0.1, left))


def crossing(way: str, *, answered: int, blocked: int) -> Drawing:
    """Draw who waits for whom: Flask's threads, the bridge's loop, and the table, at one moment.

    Of the webhooks, one a thread, `answered` have an answer; `blocked` connections wait for a row.
    """
    waiting = THREADS - answered
    boxes = (
        Box("Flask's threads", f"{waiting} of {THREADS} wait", 125, 34, waiting > 0),
        Box("The bridge's own loop", f"{blocked} connections wait", 380, 34, blocked > 0),
        Box("The table", "its rows are held", 635, 34, blocked > 0),
    )
    arrows = (Arrow(0, 1, "", waiting > 0), Arrow(1, 2, "", blocked > 0))
    words = f"{way}: {waiting} of {THREADS} threads wait for the bridge's loop, {blocked} "
    words += f"connections of the loop wait for the table. {answered} webhooks are answered."
    color = "lag" if answered else "stall"
    if not answered:
        words += " No thread is left for anybody else."
    svg = diagram(boxes, arrows, height=70, title=words, color=color)
    return Drawing(f"<p>{words}</p>{svg}", words)
