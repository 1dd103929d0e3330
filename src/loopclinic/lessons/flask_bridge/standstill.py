"""A database that stands still for a while, and what the callers of each way get to hear."""

import asyncio
from collections import Counter
from html import escape
from random import Random
from typing import NamedTuple

import aiohttp

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.flask_bridge.ledger import Ledger
from loopclinic.lessons.flask_bridge.provider import Provider
from loopclinic.lessons.flask_bridge.serving import THREADS, Way, all_served
from loopclinic.lessons.flask_bridge.updates import DEMO_SECRET, draw
from loopclinic.lessons.offload import entered
from loopclinic.lessons.rounds import name_of

__all__ = ["standstill"]


class _Found(NamedTuple):
    name: str
    answers: dict[int, int]
    slowest: float
    health: float


async def standstill(*ways: Way, dsn: str, seconds: float = 1.5) -> Drawing:
    """Hold every row for `seconds`; send a webhook for each thread, and ask for the health."""
    found = []
    rng = Random(5)  # noqa: S311 - webhooks, not secrets
    with await asyncio.to_thread(Ledger, dsn) as ledger:
        async with all_served(*ways, dsn=dsn) as servers:
            for way, server in servers:
                async with Provider(server.url) as provider:
                    first = draw(rng, THREADS, secret=DEMO_SECRET, label=f"before {name_of(way)}")
                    await provider.many(first, at_once=THREADS)
                    due = draw(rng, THREADS, secret=DEMO_SECRET, label=f"still {name_of(way)}")
                    async with entered(ledger.hold()):
                        sent = [asyncio.create_task(provider.one(one)) for one in due]
                        await asyncio.sleep(0.1)
                        healthy = asyncio.create_task(_health(server.url))
                        await asyncio.sleep(seconds - 0.1)
                    answers = await asyncio.gather(*sent)
                    health = await healthy
                counts = Counter(one.status for one in answers)
                found.append(
                    _Found(name_of(way), counts, max(one.seconds for one in answers), health)
                )
    return _drawn(found, seconds)


async def _health(url: str) -> float:
    clock = asyncio.get_running_loop().time
    began = clock()
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
        session.get(f"{url}/health") as answer,
    ):
        await answer.read()
    return clock() - began


def _drawn(found: list[_Found], seconds: float) -> Drawing:
    rows = []
    for one in found:
        answers = ", ".join(f"{number} x {status}" for status, number in one.answers.items())
        color = "stall" if one.health > 0.7 * seconds else "calm"
        width = min(1.0, one.health / max(seconds, *(other.health for other in found)))
        rows.append(
            f"<tr><td><code>{escape(one.name)}</code></td><td>{answers}</td><td>{span(one.slowest)}</td>"
            "<td style='min-width:220px'><div style='display:flex;align-items:center;gap:8px'>"
            f"<div style='height:12px;border-radius:2px;width:{0.7 * width:.0%};"
            f"background:var(--lc-{color})'></div><b>{span(one.health)}</b></div></td></tr>"
        )
    head = (
        "<tr><th>Way</th><th>Answers</th><th>The last after</th>"
        "<th><code>GET /health</code>, which needs no database, took</th></tr>"
    )
    note = (
        f"The database stood still for {span(seconds)}. {THREADS} webhooks came, one for each thread, "
        "and then somebody asked whether the service was alive."
    )
    text = "\n".join(
        f"{one.name}: answers {dict(one.answers)}, the last after {span(one.slowest)}; /health took "
        f"{span(one.health)}."
        for one in found
    )
    return Drawing(
        f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
        f"<p class='lc-muted'>{note}</p>",
        text,
    )
