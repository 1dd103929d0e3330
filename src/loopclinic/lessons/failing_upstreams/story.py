"""Experiments of notebook 10: a pool that runs dry, guards and fallbacks, health checks, an outage, a quota."""

import asyncio
import heapq
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from math import inf
from typing import Any

import aiohttp
from aiobreaker import CircuitBreaker as AsyncBreaker  # type: ignore[import-untyped]
from purgatory import AsyncCircuitBreakerFactory
from pybreaker import CircuitBreaker

from loopclinic.drawing.charts import COLORS, Bars, Series, Strip, legend, scale, strips
from loopclinic.drawing.tables import Cell, Drawing, Drawn, bold, code, colored, span, table
from loopclinic.lessons.core.call import now
from loopclinic.lessons.core.child_programs import ran
from loopclinic.lessons.failing_upstreams import hung_shop
from loopclinic.lessons.failing_upstreams.ladder import FAILURES, TRANSIENT, Breaker, Get
from loopclinic.lessons.schedules.search import Schedule, in_virtual_time
from loopclinic.lessons.story.other_tools import Opinion, debug_run, linter, opinions
from loopclinic.load.variant import name_of
from loopclinic.probe import Probe
from loopclinic.servers import FaultyUpstream
from loopclinic.servers.server_process import ServerProcess

Page = Callable[[aiohttp.ClientSession], Coroutine[Any, Any, Any]]
Guard = Callable[..., Awaitable[Any]]

POOL = 100
"""Connections of an aiohttp.ClientSession, unless one says otherwise."""
_RATES = {"price": 60, "stock": 10}
"""Pages a second."""
_SLOW = 3.0
_TIMEOUT = 0.3
_CHECK = "import urllib.request as r; r.urlopen('{}/health', timeout=5); print('healthy')"


@dataclass(frozen=True, repr=False)
class Shop(Drawn):
    """What a shop's pages waited for: points (seconds since the start, figure)."""

    in_flight: Sequence[tuple[float, float]]
    stock: Sequence[tuple[float, float]]
    """When a page that asks for stock only came, and how long it waited."""
    health: str
    """What a health check said when the pool was dry."""

    @property
    def slowest(self) -> float:
        """Seconds that the slowest page waited that needs no price."""
        return max(waited for _, waited in self.stock)

    def drawing(self) -> Drawing:
        """Draw what was under way, and what pages waited for that need no price."""
        most, slow = max(many for _, many in self.in_flight), self.slowest
        line = Series(self.in_flight, COLORS["refused"], steps=True)
        dots = Series(self.stock, COLORS["blue"], line=False, dots=True)
        pool, few = (POOL, f"{POOL} connections"), scale(slow, 3)
        asked, waited = (
            "requests for prices under way or in line",
            "seconds that a page waited that asks for stock only",
        )
        charts = [
            Strip(asked, [line], 1.1 * most, ticks=scale(most, 3), bound=pool),
            Strip(waited, [dots], 1.1 * slow, ticks=few),
        ]
        end, label = self.in_flight[-1][0], "seconds since the start"
        said = f"The slowest page that needs no price waited {span(slow)}."
        return Drawing(
            strips(charts, low=0, high=end, ticks=scale(end, 8), label=label, title=said), said
        )


async def open_shop(price_page: Page, stock_page: Page, *, seconds: float = 3.5) -> Shop:
    """Let pages come at fixed rates while prices are slow; both services are behind one gateway."""
    async with (
        FaultyUpstream(latency=0.02, slow=_SLOW, slow_for="price") as gateway,
        aiohttp.ClientSession(gateway.url) as session,
    ):
        began = time.perf_counter()
        asked: dict[str, list[asyncio.Task[Any]]] = {"price": [], "stock": []}
        in_flight: list[tuple[float, float]] = []
        waited: list[tuple[float, float]] = []

        async def for_stock() -> None:
            at = time.perf_counter()
            await stock_page(session)
            waited.append((at - began, time.perf_counter() - at))

        async def come(kind: str, page: Callable[[], Coroutine[Any, Any, Any]]) -> None:
            for number in range(int(_RATES[kind] * seconds)):
                await asyncio.sleep(max(0.0, began + number / _RATES[kind] - time.perf_counter()))
                asked[kind].append(asyncio.create_task(page()))
                in_flight.append((time.perf_counter() - began, len(asked["price"])))

        async def check() -> str:
            await asyncio.sleep(0.8 * seconds)
            at = time.perf_counter()
            _, out, _ = await ran((sys.executable, "-c", _CHECK.format(gateway.url)))
            return f"{out.decode().strip() or 'failed'}, answered within {span(time.perf_counter() - at)}"

        *_, health = await asyncio.gather(
            come("price", lambda: price_page(session)), come("stock", for_stock), check()
        )
        await asyncio.gather(*asked["stock"])
        for task in asked["price"]:  # nobody looks at these pages any more
            task.cancel()
        await asyncio.gather(*asked["price"], return_exceptions=True)
    return Shop(in_flight, waited, health)


# Guards, in real time.


async def guards(*ways: Guard, calls: int = 6) -> Drawing:
    """Let calls at once fail behind a pybreaker: what it counted, how long the loop was held, how long all took.

    A way is `await way(breaker, sdk, fetch)`: `sdk()` blocks until its timeout, `await fetch()` does not.
    """
    rows = []
    async with FaultyUpstream(hang=1.0) as upstream, aiohttp.ClientSession() as session:

        def sdk() -> None:
            urllib.request.urlopen(upstream.url, timeout=_TIMEOUT).read()  # noqa: S310 - our own

        async def fetch() -> None:
            async with asyncio.timeout(_TIMEOUT), session.get(upstream.url) as answer:
                await answer.read()

        for way in ways:
            breaker = CircuitBreaker(fail_max=2 * calls)
            with Probe(threshold=0.05) as probe:
                began = time.perf_counter()
                given = (way(breaker, sdk, fetch) for _ in range(calls))
                # loopclinic: ignore[dropped-gather-results] each is to fail
                await asyncio.gather(*given, return_exceptions=True)
                took = time.perf_counter() - began
                await asyncio.sleep(0)
            held = max((stall.seconds for stall in probe.stalls), default=0.0)
            counted = f"{breaker.fail_counter} of {calls}"
            rows.append([code(name_of(way)), counted, span(held) if held else "-", span(took)])
    title = f"{calls} calls at once, each of which fails after {span(_TIMEOUT)}."
    heads = ["Way", "Failures counted", "The loop was held", "All calls took"]
    note = "pybreaker holds its lock while a call runs. Of a coroutine, it sees that it was made."
    return table(heads, rows, title=title, note=note)


async def libraries(calls: int = 10, crowd: int = 20, rest: float = 0.2) -> Drawing:
    """Ask breakers of several libraries what they let through: a service is down, rests, and callers leave."""
    rows = []
    for name, make in _LIBRARIES.items():
        down, after, left = await _let_through(partial(make, rest), calls, crowd, rest)
        opened = "opens" if left <= calls else "stays closed"
        rows.append([code(name), f"{down} of {calls}", f"{after} of {crowd}", opened])
    heads = ["Breaker", "Down: lets through", "After the rest", f"{calls} callers leave"]
    title = f"Each is to open after {FAILURES} failures in a row, and to let one call try after its rest."
    note = "A retry is none of their business, nor a deadline."
    return table(heads, rows, title=title, note=note)


async def _let_through(
    make: Callable[[], Guard], calls: int, crowd: int, rest: float
) -> tuple[int, int, int]:
    """Return how many calls reach a service that is down: of some, of a crowd after a rest, of callers that leave."""
    begun: list[None] = []

    async def fetch() -> None:
        begun.append(None)
        await asyncio.sleep(rest / 4)
        raise ConnectionRefusedError

    async def ask(guard: Guard) -> None:
        with suppress(Exception):
            # loopclinic: ignore[sync-circuit-breaker] the first of the libraries is shown to be one
            await guard(fetch)

    guard = make()
    for _ in range(calls):
        await ask(guard)
    down = len(begun)
    await asyncio.sleep(2 * rest)
    await asyncio.gather(*(ask(guard) for _ in range(crowd)))
    after, guard = len(begun) - down, make()
    for _ in range(calls + 1):
        with suppress(TimeoutError):
            await asyncio.wait_for(ask(guard), 0.001)
    return down, after, len(begun) - down - after


def _purgatory(rest: float) -> Guard:
    factory = AsyncCircuitBreakerFactory(default_threshold=FAILURES, default_ttl=rest)

    async def guard(fetch: Guard) -> Any:
        async with await factory.get_breaker("prices"):
            return await fetch()

    return guard


def _ladder(rest: float) -> Guard:
    breaker = Breaker(FAILURES, rest)

    async def guard(fetch: Guard) -> Any:
        async with breaker:
            return await fetch()

    return guard


_LIBRARIES: dict[str, Callable[[float], Guard]] = {
    "pybreaker: call(fetch)": lambda rest: CircuitBreaker(FAILURES, rest).call,
    "aiobreaker: call_async(fetch)": lambda rest: (
        AsyncBreaker(FAILURES, timedelta(seconds=rest)).call_async
    ),
    "purgatory: async with": _purgatory,
    "this lesson's: async with": _ladder,
}


async def fallbacks(*ways: Guard) -> Drawing:
    """Let a page ask for a price in four cases; mark the answers that it can't tell apart.

    A way is `await way(fetch, last)`, where `last` is the price of yesterday, 3.0.
    """
    cases: dict[str, Any] = {
        "All is well": 3.5,
        "Our typo": KeyError("prise"),
        "No such item": None,
        "Too late": TimeoutError(),
    }

    async def asked(way: Guard, outcome: Any) -> str:
        async def fetch() -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        try:
            return repr(await way(fetch, 3.0))
        except Exception as error:
            return repr(error)

    rows = []
    for way in ways:
        got = [await asked(way, one) for one in cases.values()]
        cells = [colored(one, "stall") if got.count(one) > 1 else code(one) for one in got]
        rows.append([code(name_of(way)), *cells, f"{len({*got})} of {len(got)}"])
    return table(["Way", *cases, "Told apart"], rows)


# An outage, in virtual time.

RATE, PLACES, WELL, SICK = 30, 6, 0.1, 2.0
"""Callers a second; calls that the service works on at once; seconds that one takes."""
SICK_FROM, SICK_UNTIL, END = 10, 40, 80
_MODEL = (
    f"{RATE} callers a second; the service works on {PLACES} calls at once, {span(WELL)} each, "
    f"while it is sick {span(SICK)}."
)
_ENOUGH, _STEADY = 0.9, 5
"""It has recovered once this share of callers get a price, for so many seconds."""


@dataclass(frozen=True)
class Outage:
    """What an outage did: shares of callers with a price, second by second, and what the service had to bear."""

    name: str
    shares: Sequence[float]
    borne: int
    """Calls that came while the service was sick."""
    waited: float
    """Seconds that the slowest caller waited."""

    @property
    def recovered(self) -> float:
        """Seconds from its end until callers got prices again; infinite if they never did."""
        tried = range(SICK_UNTIL, END - _STEADY + 1)
        well = (at for at in tried if min(self.shares[at : at + _STEADY]) >= _ENOUGH)
        return next(well, inf) - SICK_UNTIL

    def __str__(self) -> str:
        after = f"prices again after {self.recovered:.0f} s"
        if self.recovered == inf:
            after = "no price any more"
        return f"{self.name}: {after}; {self.borne:,} calls while it was sick"


def outage(way: Callable[[Get], Get], seed: int = 1) -> Outage:
    """Play an outage in virtual time, with callers who come at random."""

    async def play(schedule: Schedule) -> Outage:
        began, tasks = now(), list[asyncio.Task[None]]()
        free, sent, waited = [0.0] * PLACES, list[float](), list[float]()
        served = [list[bool]() for _ in range(END)]

        async def fetch(item: str) -> float:
            # It works off what was sent, in order, whoever has left meanwhile.
            sent.append(at := now() - began)
            start = max(at, heapq.heappop(free))
            end = start + (SICK if SICK_FROM <= start < SICK_UNTIL else WELL)
            heapq.heappush(free, end)
            await asyncio.sleep(end - at)
            return float(len(item))

        async def caller() -> None:
            came, got = now() - began, False
            with suppress(*TRANSIENT):
                await get("tea")
                got = True
            served[int(came)].append(got)
            waited.append(now() - began - came)

        get = way(fetch)
        while now() - began < END:
            tasks.append(asyncio.create_task(caller()))
            await asyncio.sleep(schedule.rng.expovariate(RATE))
        await asyncio.gather(*tasks)
        shares = [sum(one) / max(len(one), 1) for one in served]
        borne = sum(SICK_FROM <= at < SICK_UNTIL for at in sent)
        return Outage(name_of(way), shares, borne, max(waited))

    return in_virtual_time(play, seed)


def outages(*ways: Callable[[Get], Get], seed: int = 1) -> Drawing:
    """Play the same outage for several ways, and draw who got a price."""
    found = [outage(way, seed) for way in ways]
    sick = Bars([(SICK_FROM, 0, 1)], COLORS["muted"], SICK_UNTIL - SICK_FROM)
    everybody = Bars([(second, 0, 1) for second in range(END)], COLORS["refused"], 1.0)
    charts = [Strip("the service is sick", [sick], 1.0, height=10)]
    scale_of: dict[str, Any] = {"ticks": (0, 0.5, 1), "height": 52, "write": "{:.0%}".format}
    for one in found:
        shares = [(second, 0, share) for second, share in enumerate(one.shares)]
        got = Bars(shares, COLORS["accepted"], 1.0)
        charts.append(Strip(str(one), [everybody, got], 1.0, **scale_of))
    got_one = COLORS["accepted"], "callers who got a price"
    said = legend(got_one, (COLORS["refused"], "who got none"), between=" ")
    words, ticks = "\n".join(map(str, found)), scale(END, 10)
    svg = strips(charts, low=0, high=END, ticks=ticks, label="seconds", title=words)
    return Drawing.note(_MODEL) + Drawing(said + svg, words)


# A quota, in virtual time.

QUOTA, _FAST = 50, 0.04
"""Calls that the service accepts in any second, and the seconds that it takes for one."""


def quotas(*ways: Callable[[Get], Get], calls: int = 200) -> Drawing:
    """Let calls come at once, for a service that has a quota and answers fast, in virtual time."""
    charts, words, high = [], list[str](), calls / QUOTA
    quota: dict[str, Any] = {"bound": (QUOTA, f"quota: {QUOTA}"), "ticks": scale(calls, 2)}
    for way in ways:
        came, refused, end = in_virtual_time(partial(_within_quota, way=way, calls=calls))
        said = f"{name_of(way)}: {refused} of {calls} refused, the last answer after {end:.1f} s"
        recent = [(at, sum(at - 1 < one <= at for one in came)) for at in came]
        line = Series(recent, COLORS["refused" if refused else "accepted"], steps=True)
        charts.append(Strip(said, [line], 1.1 * calls, **quota, height=52))
        words.append(said)
    note = f"{calls} calls at once. The service takes {span(_FAST)} for each, and accepts {QUOTA} in any second."
    said, label = "\n".join(words), "seconds; drawn: calls in the last second"
    svg = strips(charts, low=0, high=high, ticks=scale(high, 8), label=label, title=said)
    return Drawing.note(note) + Drawing(svg, said)


async def _within_quota(
    _: Schedule, way: Callable[[Get], Get], calls: int
) -> tuple[list[float], int, float]:
    """Return when calls came, how many were refused, and when the last was answered."""
    came, accepted = list[float](), list[float]()
    await asyncio.sleep(10)  # nobody has called for a while
    began = now()

    async def fetch(item: str) -> float:
        came.append(at := now() - began)
        if sum(at - one < 0.999 for one in accepted) >= QUOTA:
            raise ConnectionRefusedError("429: too many this second")
        accepted.append(at)
        await asyncio.sleep(_FAST)
        return float(len(item))

    get = way(fetch)
    # loopclinic: ignore[dropped-gather-results] what was refused is counted
    await asyncio.gather(*(get("tea") for _ in range(calls)), return_exceptions=True)
    return came, len(came) - len(accepted), now() - began


# Diagnosis.


async def health_checks() -> Drawing:
    """Ask three health checks about a shop whose loop is stuck, and about one whose pool is dry."""
    async with FaultyUpstream(slow=60, slow_for="price") as prices:
        stuck, dry = await asyncio.gather(
            _checked(prices.url, "/sdk/price"), _checked(prices.url, "/price", "/price")
        )
    checks = (
        bold("a command", "a new process, a new client"),
        bold("attach --once", "reads the loop from outside"),
        bold("a page of its own", "by the way of all others"),
    )
    rows = zip(checks, stuck, dry, strict=True)
    note = "Orange: content, though the shop serves nobody."
    return table(["Health check", "Its loop is stuck", "Its pool is dry"], rows, note=note)


async def _checked(url: str, *pages: str, patience: float = 1.0) -> list[Cell]:
    """Return what each health check says of a shop that is asked for these pages."""
    async with (
        ServerProcess(hung_shop.__name__, url) as shop,
        aiohttp.ClientSession(f"http://127.0.0.1:{shop.address}") as visitor,
    ):

        async def own_page() -> tuple[int, bytes, bytes]:
            try:
                async with asyncio.timeout(patience), visitor.get("/stock") as answer:
                    return 0, await answer.read(), b""
            except TimeoutError:
                return 1, f"no answer after {span(patience)}".encode(), b""

        asked = [asyncio.create_task(visitor.get(page)) for page in pages]
        await asyncio.sleep(patience)
        attach = sys.executable, "-m", "loopclinic", "attach", "--once", f"{shop.pid}"
        check = sys.executable, "-c", _CHECK.format(url)
        said = await asyncio.gather(ran(check), ran(attach), own_page())
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return [
        colored((out or error).decode().strip(), "calm" if status == 1 else "stall")
        for status, out, error in said
    ]


async def diagnose(page: Page, shop: Shop) -> Drawing:
    """Ask each tool about `page`, which waits for a connection of a pool that is dry."""
    found, linted = await asyncio.gather(
        debug_run(dry_pool), linter(page, "-", "what the session shares with other pages")
    )
    queued, waited = found.value
    line = f"{queued} of 21 requests in line for 10 connections"
    asked, seen = "a new process, a new client", "network and gateway"
    return opinions(
        linted,
        found.debug_mode("-", f"all of it: a page waited {span(waited)} meanwhile"),
        found.cpu_graph("why"),
        Opinion("a health check", asked, shop.health, seen, "the pool: it has one of its own"),
        Opinion("aiohttp's tracing", "on_connection_queued_start", line, "who waits", "-"),
    )


async def dry_pool() -> tuple[int, float]:
    """Return how many requests waited for a connection, and how long the last one did, in a small pool."""
    queued = 0

    async def in_line(*_: object) -> None:
        nonlocal queued
        queued += 1

    trace = aiohttp.TraceConfig()
    trace.on_connection_queued_start.append(in_line)
    async with (
        FaultyUpstream(latency=0.02, slow=0.5, slow_for="price") as gateway,
        aiohttp.ClientSession(
            gateway.url, connector=aiohttp.TCPConnector(limit=10), trace_configs=[trace]
        ) as session,
    ):

        async def ask(body: bytes) -> float:
            began = time.perf_counter()
            async with session.post("/", data=body) as answer:
                await answer.read()
            return time.perf_counter() - began

        *_, waited = await asyncio.gather(*(ask(b"price") for _ in range(20)), ask(b"stock"))
    return queued, waited
