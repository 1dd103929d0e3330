"""Where the rest of the bound goes: one unit of work taken apart, and ten at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import asyncpg

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.sync_database.pools import CONNECTIONS
from loopclinic.lessons.sync_database.race import LATENCY

__all__ = ["losses"]

_TIMES = 25


async def losses(dsn: str) -> Drawing:
    """Measure what a unit of work takes beyond PostgreSQL's own time. About two seconds."""
    query = f"select pg_sleep({LATENCY})"

    async with asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:

        async def whole() -> None:
            async with pool.acquire() as connection:
                await connection.execute(query)

        async def taken() -> None:
            async with pool.acquire():
                pass

        async with pool.acquire() as held:
            alone = await _typical(lambda: held.execute(query))
            trip = await _typical(lambda: held.execute("select 1"))
        hand_over = await _typical(taken)
        together: list[float] = []

        async def work() -> None:
            for _ in range(_TIMES):
                began = time.perf_counter()
                await whole()
                together.append(time.perf_counter() - began)

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    at_once = median(together)
    parts = [
        ("PostgreSQL asleep, as asked", LATENCY),
        ("its timer, and the way there and back", max(0.0, alone - LATENCY)),
        ("taking the connection and giving it back, with its reset query", hand_over),
        (f"taking turns: {CONNECTIONS} at once, one loop", max(0.0, at_once - alone - hand_over)),
    ]
    rows = "".join(
        f"<tr><td>{name}</td><td>{span(seconds)}</td><td style='min-width:240px'><div style='height:12px;"
        f"border-radius:2px;background:var(--lc-lag);width:{seconds / at_once:.1%}'></div></td></tr>"
        for name, seconds in parts
    )
    sentence = (
        f"One unit of work takes {span(at_once)} instead of {span(LATENCY)}, which leaves "
        f"{LATENCY / at_once:.0%} of the bound. A bare round trip takes {span(trip)}."
    )
    text = "; ".join(f"{name}: {span(seconds)}" for name, seconds in parts)
    return Drawing(f"<p>{sentence}</p><table><tbody>{rows}</tbody></table>", f"{sentence} {text}.")


async def _typical(step: Callable[[], Awaitable[Any]]) -> float:
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        await step()
        times.append(time.perf_counter() - began)
    return median(times)
