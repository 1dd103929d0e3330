"""Experiments of notebook 09: concurrent calls on a Valkey, two processes, a killed process, a benchmark."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from redis.asyncio import BlockingConnectionPool, Redis

from loopclinic.drawing.tables import Cell, Drawing, Drawn, code, table
from loopclinic.lessons.await_races.ladder import COSTS, check_then_count
from loopclinic.lessons.await_races.stores import MemoryStore, ValkeyStore
from loopclinic.lessons.core.check_threads import entered
from loopclinic.lessons.schedules.search import Schedule, in_virtual_time, search_schedules
from loopclinic.lessons.story.other_tools import Opinion, debug_run, linter, opinions
from loopclinic.lessons.story.race import Column, Race, Result
from loopclinic.lessons.story.race_worker import worker
from loopclinic.load.variant import name_of
from loopclinic.servers import ServerError
from loopclinic.servers.slow_proxy import SlowLine
from loopclinic.servers.valkey import valkey

Allow = Callable[..., Coroutine[Any, Any, bool]]
"""`await allow(store, key, *, limit, window)`."""

LIMIT, WINDOW = 20, 3600.0
POOL = 30
"""Connections of the shop's client."""
_SHOWN = 10
"""Steps of two callers that are drawn."""
_AT_ONCE = 50
_fresh = iter(range(1_000_000))
# driver_info=None: without it redis-py reads its own version from disk for every connection, on the loop.


def _key() -> str:
    return f"loopclinic:{os.getpid()}:{time.time_ns():x}:{next(_fresh)}"


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[str, Redis]]:
    """Give the address of a Valkey and a client of it; keys of this process are removed at the end."""
    with ExitStack() as stack:
        url = await asyncio.to_thread(stack.enter_context, valkey())
        client = Redis.from_url(url, driver_info=None)
        try:
            yield url, client
        finally:
            async for key in client.scan_iter(match=f"loopclinic:{os.getpid()}:*", count=1000):
                await client.delete(key)
            await client.aclose()
            await asyncio.to_thread(stack.close)


class _Reported:
    """A store that tells `then` each command and its result once it took effect."""

    def __init__(self, store: ValkeyStore, then: Callable[[str, Any], object]) -> None:
        self._store, self._then = store, then

    def __getattr__(self, name: str) -> Any:
        async def run(*given: Any, **options: Any) -> Any:
            result = await getattr(self._store, name)(*given, **options)
            self._then(name, result)
            return result

        return run


@dataclass(frozen=True, repr=False)
class Sent(Drawn):
    """What became of calls at once."""

    name: str
    calls: int
    sent: int
    steps: list[tuple[str, str]]

    def __str__(self) -> str:
        return f"{self.name} sent {self.sent} of {self.calls} messages; the limit was {LIMIT}."

    def drawing(self) -> Drawing:
        """Draw a lane for each of the first two callers, their steps from top to bottom."""
        lanes = list(dict.fromkeys(lane for lane, _ in self.steps))[:2]
        shown = [step for step in self.steps if step[0] in lanes][:_SHOWN]
        rows = [
            [f"{number}.", *(code(what) if lane == one else Cell("") for one in lanes)]
            for number, (lane, what) in enumerate(shown, 1)
        ]
        return table(["Answer", *lanes], rows, title=str(self))


async def send_codes(allow: Allow, calls: int = 100, *, connections: int = POOL) -> Sent:
    """Let so many calls for one phone come at once, by a pool that has so many connections open."""
    steps: list[tuple[str, str]] = []

    def note(command: str, result: object) -> None:
        task = asyncio.current_task()
        steps.append((task.get_name() if task else "", f"{command} = {result!r}"))

    async with connected() as (url, _), _pooled(url, connections) as client:
        store, key = _Reported(ValkeyStore(client), note), _key()
        tasks = [
            asyncio.create_task(allow(store, key, limit=LIMIT, window=WINDOW), name=f"call {n}")
            for n in range(1, calls + 1)
        ]
        answers = await asyncio.gather(*tasks)
    return Sent(name_of(allow), calls, sum(answers), steps)


async def by_pool(allow: Allow, sizes: Sequence[int] = (10, 20, POOL, 50, 100)) -> Drawing:
    """Let a hundred calls for one phone come at once by pools of several sizes."""
    sent = [(await send_codes(allow, connections=size)).sent for size in sizes]
    heads = ["Connections in the pool", *map(str, sizes)]
    return table(heads, [["Sent of 100", *map(str, sent)]])


# Two processes, and one that dies.


async def measure_sent(
    way: Allow, *, url: str, keys: Sequence[str], calls: int
) -> Mapping[str, Any]:
    """Return how many of some calls at once a way allows for each key, in this process."""
    async with _pooled(url, _AT_ONCE) as client:
        store = ValkeyStore(client)
        asked = (way(store, key, limit=LIMIT, window=WINDOW) for _ in range(calls) for key in keys)
        answers = await asyncio.gather(*asked)
    return {"sent": [sum(answers[place :: len(keys)]) for place in range(len(keys))]}


@asynccontextmanager
async def _pooled(url: str, connections: int) -> AsyncIterator[Redis]:
    """Give a client with so many connections open: a service that has run for a while has them."""
    pool = BlockingConnectionPool.from_url(url, max_connections=connections, driver_info=None)
    async with Redis.from_pool(pool) as client:
        await asyncio.gather(*(client.ping() for _ in range(connections)))
        yield client


async def two_processes(*ways: Allow, phones: int = 20) -> Drawing:
    """Let calls come at once for some phones, from one process, then from two that share the store."""
    rows = []
    async with connected() as (url, _), AsyncExitStack() as stack:
        pairs = await asyncio.to_thread(
            lambda: [[worker(measure_sent, way).launch() for _ in range(2)] for way in ways]
        )
        for process in itertools.chain(*pairs):
            await stack.enter_async_context(process)
        for way, pair in zip(ways, pairs, strict=True):
            counts = []
            for used in (pair[:1], pair):
                keys = [_key() for _ in range(phones)]
                given = {"url": url, "keys": keys, "calls": 2 * LIMIT // len(used)}
                asked = [asyncio.wrap_future(one.submit(given)) for one in used]
                found = [one["sent"] for one in await asyncio.gather(*asked)]
                counts.append(sum(sum(sent) > LIMIT for sent in zip(*found, strict=True)))
            costs = COSTS.get(name_of(way), "")
            rows.append([code(name_of(way), costs), *(f"{one} of {phones}" for one in counts)])
    title = (
        f"{2 * LIMIT} calls at once for each of {phones} phones, by {_AT_ONCE} connections a process: "
        f"phones that got more than {LIMIT}."
    )
    return table(["Way", "From one process", "From two"], rows, title=title)


async def measure_dying(way: Allow, *, url: str, key: str) -> Mapping[str, Any]:
    """Die, as by the kernel, after the first command of a call."""
    async with Redis.from_url(url) as client:
        store = _Reported(ValkeyStore(client), lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        await way(store, key, limit=LIMIT, window=WINDOW)
    return {}


async def killed(*ways: Allow) -> Drawing:
    """Kill a process after the first command of a call, and ask the Valkey what is left of it."""
    rows = []
    async with connected() as (url, client):
        processes = await asyncio.to_thread(
            lambda: [worker(measure_dying, way).launch() for way in ways]
        )
        for way, process in zip(ways, processes, strict=True):
            key, how = _key(), "survived"
            try:
                async with process:
                    await process.call_async({"url": url, "key": key})
            except ServerError as error:
                how = str(error).rpartition("' ")[2].rstrip(".")
            count, left = await client.get(key), await client.ttl(key)
            ends = "never" if left == -1 else f"in {left} s"
            rows.append([code(name_of(way)), how, code(f"{int(count or 0)}, TTL {left}"), ends])
    return table(["Way", "Its process", "The counter", "It ends"], rows)


# In virtual time.


def playing(allow: Allow) -> Callable[[Schedule], Awaitable[None]]:
    """Return a play for `search_schedules`: two or more calls at once, and a limit that is lower."""

    async def play(schedule: Schedule) -> None:
        calls, limit = schedule.rng.choice([(2, 1), (3, 2), (30, 20)])
        store = schedule.slow(MemoryStore())
        asked = (allow(store, "phone", limit=limit, window=WINDOW) for _ in range(calls))
        sent = sum(await schedule.together(*asked))
        if sent != limit:
            raise AssertionError(f"{sent} messages sent, the limit is {limit}.")

    return play


def keeps_trying(*ways: Allow, hours: int = 4) -> Drawing:
    """Let a customer who has reached the limit try again every half hour, in virtual time."""

    async def play(schedule: Schedule, way: Allow) -> list[bool]:
        store = schedule.slow(MemoryStore())
        for _ in range(LIMIT):
            await way(store, "phone", limit=LIMIT, window=WINDOW)
        answers = []
        for _ in range(2 * hours):
            await asyncio.sleep(WINDOW / 2)
            answers.append(await way(store, "phone", limit=LIMIT, window=WINDOW))
        return answers

    rows = []
    for way in ways:
        answers = in_virtual_time(partial(play, way=way))
        words = " ".join("sent" if one else "-" for one in answers)
        rows.append([code(name_of(way)), words, f"{sum(answers)} of {len(answers)}"])
    title = f"{LIMIT} messages, then a try each half hour, for {hours} hours of virtual time."
    return table(["Way", "Answers", "Sent"], rows, title=title)


def stampede(callers: int = 200) -> Drawing:
    """Let a cache entry end, and so many ask for it at once, with and without a lock for its key; virtual time."""

    async def play(schedule: Schedule, locked: bool) -> int:
        cache, locks, computed = dict[str, str](), WeakValueDictionary[str, asyncio.Lock](), 0

        async def get(key: str) -> str:
            nonlocal computed
            async with locks.setdefault(key, asyncio.Lock()) if locked else nullcontext():
                if key not in cache:
                    computed += 1
                    await asyncio.sleep(1)
                    cache[key] = "a page"
            return cache[key]

        await schedule.together(*(get("/prices") for _ in range(callers)))
        return computed

    names = {"look, then compute": False, "the same, under a lock for the key": True}
    counts = {name: in_virtual_time(partial(play, locked=it)) for name, it in names.items()}
    rows = [[code(name), f"{computed} of {callers}"] for name, computed in counts.items()]
    return table(["A cache entry has expired", "Callers who compute it"], rows)


# An answer that comes too late.


async def retried() -> Drawing:
    """Count one call whose answer comes too late, with redis-py's retry after a timeout and without."""
    rows = []
    async with connected() as (url, client):
        for again in (False, True):
            key, line = _key(), SlowLine(url, there_and_back=0)
            async with (
                entered(line) as by_line,
                Redis.from_url(by_line, socket_timeout=0.8, retry_on_timeout=again) as caller,
            ):
                await caller.ping()
                line.delay = 0.5
                call = asyncio.ensure_future(caller.incr(key))
                await asyncio.sleep(0.65)  # counted by now, and its answer is on the way
                line.delay = 0.0
                (got,) = await asyncio.gather(call, return_exceptions=True)
            answer = type(got).__name__ if isinstance(got, Exception) else f"{got}"
            counted = f"{int(await client.get(key) or 0)}"
            rows.append([code(f"retry_on_timeout={again}"), answer, counted])
    title = "One INCR, whose answer comes too late."
    return table(["Client", "The caller gets", "Counted"], rows, title=title)


# Diagnosis and race.


async def racing(url: str) -> int:
    """Send codes by the anti-pattern, in a process of its own."""
    found = await measure_sent(check_then_count, url=url, keys=[_key()], calls=100)
    return int(found["sent"][0])


async def diagnose(function: Allow) -> Drawing:
    """Ask each tool about `function`; about three seconds."""
    async with connected() as (url, _):
        found, linted = await asyncio.gather(
            debug_run(racing, url=url), linter(function, "-", "that others run at an await")
        )
    searched = await asyncio.to_thread(search_schedules, playing(function), 300)
    broken = f"{len(searched.broken)} of {searched.seeds} schedules break it"
    between, hidden = "the two lines, and who ran between", "what is not handed to the code"
    return opinions(
        linted,
        found.debug_mode(
            "-", f"all of it: {found.value} of 100 were sent, by {_AT_ONCE} connections"
        ),
        Opinion("a search", "loopclinic.search_schedules", broken, between, hidden),
    )


async def measure(way: Allow, *, url: str, calls: int = 2000) -> Mapping[str, Any]:
    """Return the rate at which a way answers calls, some at once, and how many it sent for one key."""
    (sent,) = (await measure_sent(way, url=url, keys=[_key()], calls=2 * LIMIT))["sent"]
    client = Redis.from_url(url)
    store, rest = ValkeyStore(client), iter([_key() for _ in range(calls)])

    async def caller() -> None:
        for key in rest:
            await way(store, key, limit=LIMIT, window=60.0)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(_AT_ONCE)))
    seconds = time.perf_counter() - began
    await client.aclose()
    return {"rate": calls / seconds, "sent": sent}


def _bound(found: Result) -> tuple[float, str]:
    _, best = found["one_command"].spread("rate")
    return best, "The bound is a single command for each call, in its best round."


def _sentence(found: Result) -> str:
    bound, _ = _bound(found)
    said = [f"{one.name} {one.typical('rate') / bound:.0%}" for one in found.runners[:-1]]
    return f"Of the rate of a single command: {', '.join(said)}."


race = Race(
    measure,
    service=valkey,
    columns=(
        Column("Calls/s", "rate", "{:,.0f}".format, spread=True),
        Column(f"Sent of {2 * LIMIT} at once, limit {LIMIT}", "sent", most=True),
    ),
    costs=COSTS,
    bound=_bound,
    good=lambda one: one.spread("sent") == (LIMIT, LIMIT),
    sentence=_sentence,
    warm_up={"calls": _AT_ONCE},
)
"""Lets each way answer the same calls, in a process of its own, in turns; `one_command` is the bound."""
