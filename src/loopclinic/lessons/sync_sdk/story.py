"""Experiments of notebook 06: uploads beside a name lookup, first calls, giving up, clients, a benchmark."""

import asyncio
import atexit
import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import aiohttp
import httpx
import miniopy_async
from anyio import to_thread
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import StaticProvider
from minio.error import S3Error
from urllib3 import PoolManager, Retry, Timeout

from loopclinic.drawing.tables import Drawing, Drawn, bar, code, colored, table
from loopclinic.lessons.core.check_threads import entered
from loopclinic.lessons.story.other_tools import Opinion, linter, opinions, scanned
from loopclinic.lessons.story.race import Column, Race, Result, Runner
from loopclinic.lessons.story.sweep import closed_loop
from loopclinic.lessons.sync_sdk.ladder import COSTS, async_client, own_threads
from loopclinic.load.variant import name_of
from loopclinic.probe import Probe
from loopclinic.probe.frames import frames_of_others
from loopclinic.servers import SERVICES, FaultyUpstream
from loopclinic.servers.s3 import access, remove
from loopclinic.servers.slow_proxy import SlowLine
from loopclinic.units import span

Way = Callable[["Service", str, bytes], Coroutine[Any, Any, None]]
Beside = Callable[[], Coroutine[Any, Any, None]]
Ask = Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]

SHARED = 6
"""Threads of the default executor on two cores. Set, since on more cores the queue would be too short to see."""
LATENCY = 0.5
"""Seconds of a round trip to the server, but in the benchmark."""
_LOOKUP = 0.1
"""Seconds after the uploads at which a name is looked up."""
_WAITED = 0.1
"""Seconds from which on a lookup is drawn as one that waited."""
_DATA = b"a picture" * 500
_POLICY = """{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": "*",
    "Action": "s3:GetObject", "Resource": "arn:aws:s3:::{}/*"}}]}}"""


class _Noted(StaticProvider):
    """Keys of an SDK's client, which asks for them on the thread of each request."""

    def __init__(self, *keys: str) -> None:
        super().__init__(*keys)
        self.worked: Counter[str] = Counter()
        """Requests by the pool of the thread that they ran on."""

    def retrieve(self) -> Credentials:
        """Return the keys, and note the thread."""
        self.worked[threading.current_thread().name.partition("_")[0]] += 1
        return super().retrieve()


class Service:
    """A bucket and clients of it: a synchronous one, an executor of `size` threads, an async one."""

    def __init__(self, url: str, size: int, bucket: str = "", **pool: Any) -> None:
        self.url = url
        self.bucket = bucket or f"loopclinic-{uuid.uuid4().hex}"
        self.there = False
        """Whether there is a bucket, as far as the ways know."""
        self.threads = ThreadPoolExecutor(size, thread_name_prefix="s3")
        self.places = asyncio.Semaphore(size)
        given = access(url)
        self._noted = _Noted(given.pop("access_key"), given.pop("secret_key"))
        http = PoolManager(maxsize=64, **pool)
        self.client = Minio(**given, credentials=self._noted, http_client=http)

    @property
    def worked(self) -> Mapping[str, int]:
        """Requests of the synchronous client by the pool of the thread that they ran on."""
        return dict(self._noted.worked)

    @cached_property
    def async_client(self) -> Any:
        """The async client, made when first asked for: it belongs to the running loop."""
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64))
        return miniopy_async.Minio(  # type: ignore[attr-defined]
            **access(self.url), session=session
        )

    async def run(self, work: Callable[..., Any], *given: Any) -> Any:
        """Call a method of the SDK on an own thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, *given)

    async def close(self) -> None:
        """Close the clients, and wait for the threads."""
        if "async_client" in vars(self):
            await self.async_client.close_session()
        await asyncio.to_thread(self.threads.shutdown)
        self.client._http.clear()  # noqa: SLF001 - the SDK has no close


class _Server:
    """The S3 server and the slow line to it, for all cells; they end with the kernel."""

    def __init__(self) -> None:
        self._address: Future[str] | None = None
        self.url = ""
        self.line: SlowLine

    def start(self) -> "Future[str]":
        """Start both on a thread, unless they run."""
        if self._address is None:
            self._address = Future()
            threading.Thread(target=self._start, args=[self._address], daemon=True).start()
        return self._address

    def _start(self, address: "Future[str]") -> None:
        stack = ExitStack()
        try:
            self.url = stack.enter_context(SERVICES["s3"]())
            self.line = SlowLine(self.url, there_and_back=LATENCY)
            address.set_result(stack.enter_context(self.line))
        except Exception as error:
            self._address = None
            address.set_exception(error)
        atexit.register(stack.close)


_server = _Server()


def start() -> None:
    """Start the S3 server, which takes some seconds, in the background."""
    _server.start()


@asynccontextmanager
async def opened(
    size: int = 12, *, seconds: float = LATENCY, make: bool = True
) -> AsyncIterator[Service]:
    """Give a service behind the slow line; meanwhile the default executor is that of two cores."""
    loop, url = asyncio.get_running_loop(), await asyncio.wrap_future(_server.start())
    loop.set_default_executor(ThreadPoolExecutor(SHARED, thread_name_prefix="asyncio"))
    direct, s3 = Service(_server.url, 1), Service(url, size)
    _server.line.delay = seconds / 2
    try:
        if make:
            await direct.run(direct.client.make_bucket, s3.bucket)
        yield s3
    finally:
        await s3.close()
        await direct.run(remove, direct.client, s3.bucket)
        await direct.close()
        loop.set_default_executor(ThreadPoolExecutor())


# Uploads, and a name lookup beside them.


@dataclass(frozen=True)
class Uploads:
    """What some uploads at once took, and what a name lookup waited meanwhile, in seconds."""

    name: str
    many: int
    seconds: float
    lookup: float
    worked: Mapping[str, int]


@dataclass(frozen=True, repr=False)
class Runs(Drawn):
    """Uploads in several ways, and what waited beside them."""

    runs: tuple[Uploads, ...]
    beside: str = "A name lookup"

    @property
    def lookup(self) -> float:
        """What the lookup waited in the last run, in milliseconds."""
        return 1000 * self.runs[-1].lookup

    def drawing(self) -> Drawing:
        """Draw a row for each, and what it costs where there are several."""
        several, rows = len({one.name for one in self.runs}) > 1, []
        own = ["s3"] if any("s3" in one.worked for one in self.runs) else []
        for one in self.runs:
            share = one.lookup / max(it.lookup for it in self.runs)
            color = "lag" if one.lookup > _WAITED else "calm"
            name = code(one.name, COSTS.get(one.name, "") if several else "")
            pools = dict.fromkeys([*one.worked, *own])
            threads = ", ".join(f"{name}: {one.worked.get(name, 0)}" for name in pools)
            threads = threads or ("none" if one.name in COSTS else "-")
            waited = bar(share, color, words=span(one.lookup))
            rows.append([name, f"{one.many}", span(one.seconds), threads, waited])
        heads = "Way", "Uploads at once", "All done after", "On threads", f"{self.beside} waited"
        return table(heads, rows)


async def _lookup() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


async def uploads(
    *ways: Way, many: int = 18, seconds: float = LATENCY, beside: Beside = _lookup
) -> Runs:
    """Let so many uploads come at once, for each way; a moment later, wait for `beside`."""
    found = []
    for way in ways:
        async with opened(seconds=seconds) as s3:
            began = time.perf_counter()
            tasks = [
                asyncio.create_task(way(s3, f"{n}.png", _DATA), name=f"upload {n}")
                for n in range(many)
            ]
            await asyncio.sleep(_LOOKUP)
            lookup = asyncio.create_task(beside(), name="lookup")
            await lookup
            waited = time.perf_counter() - began - _LOOKUP
            await asyncio.gather(*tasks)
            took = time.perf_counter() - began
            found.append(Uploads(name_of(way), many, took, waited, s3.worked))
    return Runs(tuple(found))


async def at_once(way: Way, numbers: tuple[int, ...] = (1, 3, 5, 6, 12, 24)) -> Runs:
    """Let more and more uploads come at once."""
    runs = [await uploads(way, many=many, seconds=LATENCY / 2) for many in numbers]
    return Runs(tuple(one.runs[0] for one in runs))


async def endpoints(
    way: Way, *others: Way, numbers: tuple[int, ...] = (39, 40, 80), few: int = 2
) -> Runs:
    """Let more and more requests come, and then a health check, which is a `def` endpoint of FastAPI.

    Of `others` a few are enough: their endpoints are `async def`.
    """

    async def health_check() -> None:
        await to_thread.run_sync(int)

    await health_check()  # loads anyio's backend
    far = 2 * LATENCY
    asked = [(way, many) for many in numbers] + [(other, few) for other in others]
    runs = [await uploads(one, many=n, seconds=far, beside=health_check) for one, n in asked]
    return Runs(tuple(one.runs[0] for one in runs), "A health check")


# First calls, and giving up.


async def first_calls(
    *ways: Callable[[Service], Coroutine[Any, Any, None]], callers: int = 8
) -> Drawing:
    """Let first calls come together, each of which wants a bucket."""
    rows = []
    for way in ways:
        async with opened(make=False) as s3:
            tasks = [asyncio.create_task(way(s3), name=f"call {n + 1}") for n in range(callers)]
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        errors = Counter(getattr(one, "code", repr(one)) for one in ended if one is not None)
        words = ", ".join(f"{n} x {name}" for name, n in errors.items())
        fine = f"{callers - errors.total()} of {callers}"
        rows.append(
            [code(name_of(way)), colored(fine, "stall" if errors else "calm"), words or "-"]
        )
    return table(["Way", "Calls that went well", "The others"], rows)


async def two_loops() -> Drawing:
    """Share an asyncio.Lock between two threads with a loop each; two tasks wait for it on the first."""
    lock, held, rows = asyncio.Lock(), threading.Event(), list[list[Any]]()

    async def hold(seconds: float) -> None:
        async with lock:
            asyncio.get_running_loop().call_later(0.1, held.set)  # when the other one waits, too
            await asyncio.sleep(seconds)

    async def callers(*seconds: float) -> list[Any]:
        return await asyncio.gather(*map(hold, seconds), return_exceptions=True)

    first = asyncio.ensure_future(asyncio.to_thread(asyncio.run, callers(0.3, 0.0)))
    await asyncio.to_thread(held.wait, 1.0)
    second = await asyncio.to_thread(asyncio.run, callers(0.0))
    for name, ended in ("two tasks on one loop", await first), ("a task on another loop", second):
        error = next(filter(None, ended), None)
        said = f"{type(error).__name__}: {str(error).partition('> ')[2]}" if error else "got it"
        rows.append([name, colored(said, "stall" if error else "calm")])
    return table(["One asyncio.Lock", "What becomes of it"], rows)


async def half_made() -> Drawing:
    """Let a process die between making its bucket and setting its policy, and start again, in two ways."""

    def start(s3: Minio, bucket: str, looks: bool) -> None:
        if new := not s3.bucket_exists(bucket):
            s3.make_bucket(bucket)
        if new or (looks and not has_policy(s3, bucket)):
            s3.set_bucket_policy(bucket, _POLICY.format(bucket))

    def has_policy(s3: Minio, bucket: str) -> bool:
        with suppress(S3Error):
            return bool(s3.get_bucket_policy(bucket))
        return False

    rows = []
    for looks, words in (False, "sets what it made"), (True, "looks for what it needs"):
        async with opened(seconds=0.02) as s3:  # with a bucket, whose maker has died
            await s3.run(start, s3.client, s3.bucket, looks)
            there = await s3.run(has_policy, s3.client, s3.bucket)
        said = colored("there", "calm") if there else colored("missing", "stall")
        rows.append([f"A start that {words}", said])
    return table(["After a death between bucket and policy", "Its policy"], rows)


async def giving_up(size: int = 4, patience: float = 0.5) -> Drawing:
    """Let callers of a silent server give up; look what is still taken a second later."""
    rows = []
    for way, words, wait in (
        (own_threads, "the SDK's default: 5 minutes", 300.0),
        (own_threads, f"the SDK's own: {span(patience)}", patience),
        (async_client, "none", 300.0),
    ):
        async with opened() as known:
            async with entered(SlowLine(_server.url, there_and_back=60)) as address:
                pool = {"timeout": Timeout(wait), "retries": Retry(0)}
                silent = Service(address, size, known.bucket, **pool)
                began = time.perf_counter()
                calls = [_given_up(way(silent, f"{n}", _DATA), patience) for n in range(size)]
                await asyncio.gather(*calls)
                gone = time.perf_counter() - began
                await asyncio.sleep(0.7)
                jobs = [silent.threads.submit(time.sleep, 0.2) for _ in range(size)]
                await asyncio.sleep(0.3)
                taken = sum(not job.done() for job in jobs)
            await silent.close()
        color = "stall" if taken else "calm"
        rows.append([code(name_of(way)), words, span(gone), colored(f"{taken} of {size}", color)])
    title = f"A server that does not answer. Each call stands in asyncio.timeout({patience:g})."
    heads = "Way", "Timeout of a request", "Callers gone after", "Threads taken a second later"
    return table(heads, rows, title=title)


async def _given_up(call: Coroutine[Any, Any, None], patience: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await call


# Async clients.


def async_twins(*names: str) -> Drawing:
    """Look for an async class beside each synchronous one, such as `redis.Redis`, in its own package."""
    rows = []
    for package, _, name in (one.rpartition(".") for one in names):
        found = colored("none in this package", "stall")
        for module, twin in (package, f"Async{name}"), (f"{package}.asyncio", name):
            with suppress(ImportError):
                if hasattr(import_module(module), twin):
                    found = code(f"{module}.{twin}")
        if find_spec(package.partition(".")[0]) is None:
            found = colored("not installed here", "lag")
        rows.append([code(f"{package}.{name}"), found])
    note = "None in its package is not none at all: miniopy_async has the calls of minio."
    return table(["Synchronous", "Async"], rows, note=note)


async def clients(
    *ways: Callable[[httpx.AsyncClient, Ask], Coroutine[Any, Any, None]],
    callers: int = 8,
    seconds: float = 1.0,
) -> Drawing:
    """Let callers ask a service again and again; draw what a call costs the loop, and connections a second.

    A way is `await way(kept, ask)`: `await ask(client)` asks once, and `kept` is a client that was made before.
    """
    calls, connected, found = 0, 0, list[tuple[str, float, float, float]]()

    async def note(event: str, _: object) -> None:
        nonlocal connected
        connected += event == "connection.connect_tcp.complete"

    # loopclinic: ignore[blocking-file-io] one, before the clock runs
    async with FaultyUpstream(latency=_ANSWERS) as service, httpx.AsyncClient() as kept:

        async def ask(client: httpx.AsyncClient) -> None:
            nonlocal calls
            await client.get(service.url, extensions={"trace": note})
            calls += 1

        for way in ways:

            async def send(way: Callable[..., Coroutine[Any, Any, None]] = way) -> str:
                await way(kept, ask)
                return ""

            await asyncio.gather(*(send() for _ in range(callers)))
            calls = connected = 0
            with Probe() as probe:
                mark = probe.snapshot()
                await closed_loop(send, callers, seconds=seconds, warm_up=0.0)
                spent = probe.snapshot().since(mark)
            held = (spent.utilization or 0.0) * spent.seconds / calls
            found.append((name_of(way), calls / spent.seconds, held, connected / spent.seconds))
    most, many = max(held for _, _, held, _ in found), max(made for *_, made in found)
    rows = [
        [
            code(name),
            f"{rate:.0f}",
            bar(held / most, "lag", words=span(held)),
            bar(made / max(many, 1), "stall", words=f"{made:.0f}"),
        ]
        for name, rate, held, made in found
    ]
    heads = "Way", "Calls a second", "A call holds the loop for", "Connections a second"
    title = f"{callers} callers; the service answers after {span(_ANSWERS)}."
    tls = "A client reads its certificates when it is made. This line has no TLS: with it, each connection shakes hands."
    return table(heads, rows, title=title, note=tls)


_ANSWERS = 0.05

# Diagnosis and race.


async def diagnose(function: Way, file: str, many: int = 18) -> Drawing:
    """Ask each tool about `function` while it stores files, and the scanner about `file`."""
    linted = await linter(function, "-", "what stands in a thread")
    scanner = await scanned(file, "calls on the loop", "threads' queues")
    async with opened() as s3:
        with Probe() as probe:
            tasks = [asyncio.create_task(function(s3, f"{n}", _DATA)) for n in range(many)]
            await asyncio.sleep(0.2)
            census, mark = probe.census(), probe.snapshot()
            waiting = Counter(one.f_code.co_name for one in frames_of_others().values())
            await asyncio.gather(*tasks)
            used = probe.snapshot().since(mark).utilization or 0.0
    busy = f"{census.executor_busy} of {census.executor_workers} threads at work, "
    busy += f"{census.executor_queued} calls queued"
    where, number = next(one for one in waiting.most_common() if one[0] != "_worker")
    free, stacks = f"the loop is busy {used:.0%} of the time", f"{number} threads in {where}"
    asked = "sys._current_frames()"
    return opinions(
        scanner,
        linted,
        Opinion("the probe", "utilization", free, "a loop held up", "who waits for a thread"),
        Opinion("a stack dump", asked, stacks, "that threads wait", "who waits for them"),
        Opinion("the scope", "its vitals", busy, "the queue", "-"),
    )


async def measure(
    way: Way, *, url: str, direct: str, size: int, callers: int, seconds: float
) -> Mapping[str, Any]:
    """Keep so many callers storing files, and look up a name again and again, in this process."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(SHARED, thread_name_prefix="asyncio"))
    s3, waits = Service(url, size), [0.0]
    await s3.run(s3.client.make_bucket, s3.bucket)
    numbers = itertools.count()

    async def send() -> str:
        await way(s3, f"{next(numbers) % callers}", _DATA)
        return ""

    async def look_up() -> None:
        while True:
            due = time.perf_counter() + 0.05
            await asyncio.sleep(0.05)
            await _lookup()
            waits.append(time.perf_counter() - due)

    looking = asyncio.create_task(look_up())
    found = await closed_loop(send, callers, seconds=seconds, warm_up=0.6, stagger=0.3)
    await asyncio.sleep(0.1)  # the last lookup of a loop that was held up
    looking.cancel()
    await s3.run(remove, Minio(**access(direct)), s3.bucket)
    await s3.close()
    return {"rate": found["throughput"], "lookup": max(waits), "p99": found["p99"]}


def _bound(found: Result) -> tuple[float, str]:
    size, latency = found.given["size"], found.given["latency"]
    return size / latency, f"The bound is {size} places / {span(latency)}."


def _sentence(found: Result) -> str:
    worst = max(found.runners, key=lambda one: one.typical("lookup"))
    best = min(found.runners, key=lambda one: (not _good(one), -one.typical("rate")))
    looks = (f"{span(one.typical('lookup'))} with {one.name}" for one in (worst, best))
    rate = best.typical("rate") / _bound(found)[0]
    return f"A name lookup waited up to {', up to '.join(looks)}, which reaches {rate:.0%} of the bound."


def _good(one: Runner) -> bool:
    return one.typical("lookup") < _WAITED


_RACE = Race(
    measure,
    columns=(
        Column("Uploads/s", "rate", "{:.0f}".format, spread=True),
        Column("A name lookup waited, at worst", "lookup", span, most=True),
        Column("Upload p99", "p99", span),
    ),
    costs=COSTS,
    bound=_bound,
    good=_good,
    sentence=_sentence,
)


def race(
    *ways: Way,
    size: int = 12,
    callers: int = 24,
    latency: float = 0.25,
    seconds: float = 1.0,
    rounds: int = 2,
    progress: bool = True,
) -> Result:
    """Let each way store files for the same callers, in a process of its own, in turns."""
    with SERVICES["s3"]() as url, SlowLine(url, there_and_back=latency) as slow:
        given = {"url": slow, "direct": url, "size": size, "callers": callers, "seconds": seconds}
        found = _RACE(*ways, rounds=rounds, progress=progress, **given)
    return replace(found, given={**given, "latency": latency})
