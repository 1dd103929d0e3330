"""A deploy under load: SIGTERM in the middle of it, then rows are counted against answers."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from random import Random
from typing import Any

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.flask_bridge.ladder import COSTS
from loopclinic.lessons.flask_bridge.ledger import Ledger
from loopclinic.lessons.flask_bridge.provider import Delivery, Provider
from loopclinic.lessons.flask_bridge.serving import Way, all_served, served
from loopclinic.lessons.flask_bridge.timeline import timeline
from loopclinic.lessons.flask_bridge.updates import DEMO_SECRET, draw
from loopclinic.lessons.flask_bridge.watching import Sample, Watch
from loopclinic.lessons.prediction import Prediction
from loopclinic.lessons.rounds import name_of
from loopclinic.servers.postgres_monitor import named
from loopclinic.servers.wsgi import WsgiServer

__all__ = ["RATE", "Deploy", "deploy", "deploys", "score"]

RATE = 150.0
"""Webhooks a second."""
_AFTER = 0.1
"""Seconds for which the provider goes on after SIGTERM: it does not know of it."""
_GRACE = 5.0


@dataclass(frozen=True, repr=False)
class Deploy:
    """What became of the webhooks of one deploy: the provider's view, and the table's."""

    name: str
    sent: int
    promised: int
    """Answered 204."""
    lost: int
    """Of these, not in the table when the process was gone."""
    put_off: int
    """Answered 503, or found nobody: the provider comes again."""
    failed: int
    """Answered otherwise, or not at all."""
    seconds: float
    """From SIGTERM to the end of the process."""
    terminated: float
    """Seconds from the first webhook to SIGTERM."""
    series: tuple[Sample, ...]

    @property
    def threads(self) -> int:
        """The most threads at once."""
        return max((one.threads for one in self.series), default=0)

    @property
    def connections(self) -> int:
        """The most connections at once."""
        return max((one.connections for one in self.series), default=0)

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.promised} of {self.sent} webhooks answered 204, {self.lost} of these lost, "
            f"{self.put_off} put off, {self.failed} failed; up to {self.threads} threads and "
            f"{self.connections} connections; gone {span(self.seconds)} after SIGTERM."
        )

    __repr__ = __str__

    def against(self, guess: Prediction) -> Drawing:
        """Set what was lost against a guess, and draw threads and connections over time."""
        what = f"of {self.promised} updates answered 204 are in no table"
        if self.lost:
            head = guess.against(self.lost, what)
        else:
            head = Drawing.note(f"This time, none {what}: run the cell above again.")
        words = (
            f"Up to {self.threads} threads and {self.connections} connections, for webhooks of which each "
            "needs one of either for some milliseconds. The provider's log: 204, 204, 204."
        )
        return head + Drawing.note(words) + timeline(self.series, self.terminated)

    def _repr_html_(self) -> str:
        # What was lost is told where it is set against the guess.
        return Drawing.note(
            f"{self.sent} webhooks were sent, {self.promised} were answered 204. After SIGTERM the server "
            f"was gone within {span(self.seconds)}; {self.put_off} found nobody, and will come again."
        )._repr_html_()


async def deploy(
    way: Way, dsn: str, *, rate: float = RATE, seconds: float = 1.5, seed: int = 3
) -> Deploy:
    """Send webhooks for `seconds`, then SIGTERM to the server in the middle of them."""
    async with served(way, named(dsn, name_of(way)), grace=_GRACE) as server:
        return await _deploy(server, way, dsn, rate=rate, seconds=seconds, seed=seed)


async def deploys(
    *ways: Way, dsn: str, rate: float = RATE, seconds: float = 0.8, seed: int = 3
) -> list[Deploy]:
    """Do so for several ways, one after another; their servers start side by side."""
    found = []
    async with all_served(*ways, dsn=dsn, grace=_GRACE) as servers:
        for way, server in servers:
            found.append(await _deploy(server, way, dsn, rate=rate, seconds=seconds, seed=seed))
            await server.close_async()
    return found


async def _deploy(
    server: WsgiServer, way: Way, dsn: str, *, rate: float, seconds: float, seed: int
) -> Deploy:
    rng = Random(seed)  # noqa: S311 - webhooks, not secrets
    webhooks = draw(rng, round(rate * (seconds + _AFTER)), secret=DEMO_SECRET, label=name_of(way))
    ledger = await asyncio.to_thread(Ledger, dsn)
    with ledger:
        await asyncio.to_thread(ledger.clear)
        watch = Watch(server.pid, dsn, name_of(way))
        async with Provider(server.url) as provider:
            terminating = asyncio.create_task(_terminate(server, seconds))
            try:
                with watch:
                    deliveries = await _send(provider, webhooks, rate)
                    terminated = await terminating
                    await server.ended(_GRACE + 1)
                    gone = time.perf_counter()
            finally:
                terminating.cancel()
        await asyncio.sleep(0.3)  # what PostgreSQL has already, it carries out
        promised = {one.webhook.id for one in deliveries if one.status == 204}  # noqa: PLR2004
        stored = await asyncio.to_thread(ledger.stored, promised)
    put_off = sum(one.status in (503, 0) for one in deliveries)
    return Deploy(
        name=name_of(way),
        sent=len(deliveries),
        promised=len(promised),
        lost=len(promised - stored),
        put_off=put_off,
        failed=len(deliveries) - len(promised) - put_off,
        seconds=gone - terminated,
        terminated=seconds,
        series=tuple(watch.samples),
    )


async def _send(provider: Provider, webhooks: Sequence[Any], rate: float) -> list[Delivery]:
    """Send on a schedule, whether or not earlier ones were answered."""
    clock = asyncio.get_running_loop().time
    began = clock()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number, webhook in enumerate(webhooks):
            await asyncio.sleep(began + number / rate - clock())
            tasks.append(group.create_task(provider.one(webhook, timeout=_GRACE)))
    return [one.result() for one in tasks]


async def _terminate(server: WsgiServer, after: float) -> float:
    await asyncio.sleep(after)
    server.terminate()
    return time.perf_counter()


async def score(*ways: Way, dsn: str, seconds: float = 0.8) -> Drawing:
    """Deploy each way under the same load; the fewest lost wins. About two seconds each."""
    found = await deploys(*ways, dsn=dsn, seconds=seconds)
    rows = "".join(
        f"<tr><td><code>{escape(one.name)}</code></td><td>{one.promised}</td>"
        f"<td><b style='color:var(--lc-{'stall' if one.lost else 'calm'})'>{one.lost}</b></td>"
        f"<td>{one.put_off}</td><td>{one.failed}</td><td>{one.threads}</td><td>{one.connections}</td>"
        f"<td style='white-space:nowrap'>{span(one.seconds)}</td>"
        f"<td>{escape(COSTS.get(one.name, ''))}</td></tr>"
        for one in found
    )
    head = (
        "<tr><th>SIGTERM under load</th><th>204</th><th>Lost</th><th>Put off</th><th>Failed</th>"
        "<th>Threads</th><th>Connections</th><th>Gone after</th><th>It costs</th></tr>"
    )
    note = (
        f"{RATE:.0f} webhooks a second for {span(seconds)}, and for a moment after SIGTERM. Put off: 503 "
        "or nobody there, so the provider comes again. Threads beyond those at rest, and connections: the most."
    )
    return Drawing(
        f"<table><thead>{head}</thead><tbody>{rows}</tbody></table><p class='lc-muted'>{note}</p>",
        "\n".join(map(str, found)),
    )
