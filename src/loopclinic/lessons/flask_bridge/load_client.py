"""A process that is the provider: so many webhooks at once, or so many a second, for so long."""

import asyncio
from random import Random
from time import perf_counter
from typing import Any

import asyncpg

from loopclinic.lessons.flask_bridge.ladder import SIZE, record
from loopclinic.lessons.flask_bridge.provider import Provider
from loopclinic.lessons.flask_bridge.updates import DEMO_SECRET, Webhook, draw
from loopclinic.load.vitals import percentile
from loopclinic.servers.lifeline import ParentLink

__all__ = ["main"]

_WARM = 8
_FAST = 5000  # webhooks a second, more than two processors answer; whoever is faster stops early


async def main(link: ParentLink) -> None:
    """Answer each `{"url" or "dsn", "at_once" or "rate", "seconds", "label"}` by what was reached."""
    loop = asyncio.get_running_loop()

    def answer(order: dict[str, Any]) -> dict[str, float]:
        kind = _bound if "dsn" in order else _paced if "rate" in order else _load
        work = kind(**order)
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    link.ready("provider")
    link.listen(answer)
    await asyncio.Event().wait()


async def _load(url: str, at_once: int, seconds: float, label: str) -> dict[str, float]:
    """Keep so many webhooks under way; each is sent when the one before it was answered."""
    rng = Random(label)  # noqa: S311 - webhooks, not secrets
    webhooks = draw(rng, at_once + round(_FAST * seconds), secret=DEMO_SECRET, label=label)
    times: list[float] = []
    failed = 0
    async with Provider(url) as provider:
        await provider.many(webhooks[:at_once], at_once=at_once)
        left = iter(webhooks[at_once:])
        began = perf_counter()

        async def work() -> None:
            nonlocal failed
            for webhook in left:
                delivery = await provider.one(webhook)
                if delivery.status == 204:  # noqa: PLR2004
                    times.append(delivery.seconds)
                else:
                    failed += 1
                if perf_counter() > began + seconds:
                    return

        await asyncio.gather(*(work() for _ in range(at_once)))
        taken = perf_counter() - began
    return {"rate": len(times) / taken, "failed": float(failed), **_percentiles(times)}


async def _paced(url: str, rate: float, seconds: float, label: str) -> dict[str, float]:
    """Send so many a second, whether or not earlier ones were answered; times count from when due."""
    rng = Random(label)  # noqa: S311 - webhooks, not secrets
    webhooks = draw(rng, _WARM + round(rate * seconds), secret=DEMO_SECRET, label=label)
    async with Provider(url) as provider:
        await provider.many(webhooks[:_WARM], at_once=_WARM)
        began = perf_counter()

        async def send(number: int, webhook: Webhook) -> tuple[int, float]:
            due = began + number / rate
            await asyncio.sleep(due - perf_counter())
            delivery = await provider.one(webhook)
            return delivery.status, perf_counter() - due

        found = await asyncio.gather(*(send(*one) for one in enumerate(webhooks[_WARM:])))
        taken = perf_counter() - began
    times = [time for status, time in found if status == 204]  # noqa: PLR2004
    failed = float(len(found) - len(times))
    return {"rate": len(times) / taken, "failed": failed, **_percentiles(times)}


async def _bound(dsn: str, at_once: int, seconds: float, label: str) -> dict[str, float]:
    """Do the same without any web: `record` alone, over one pool."""
    rng = Random(label)  # noqa: S311 - updates, not secrets
    webhooks = draw(rng, round(4 * _FAST * seconds), secret=DEMO_SECRET, label=label)
    left = iter(webhooks)
    times: list[float] = []
    async with asyncpg.create_pool(dsn, min_size=SIZE, max_size=SIZE) as pool:
        began = perf_counter()

        async def work() -> None:
            for webhook in left:
                now = perf_counter()
                await record(pool, webhook.update)
                times.append(perf_counter() - now)
                if perf_counter() > began + seconds:
                    return

        await asyncio.gather(*(work() for _ in range(at_once)))
        taken = perf_counter() - began
    return {"rate": len(times) / taken, "failed": 0.0, **_percentiles(times)}


def _percentiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {"p50": percentile(ordered, 0.5), "p99": percentile(ordered, 0.99)}
