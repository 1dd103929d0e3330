"""`Stage`: what a scene drives a lab with: its service, an HTTP session, a clock, the loop measured."""

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import aiohttp

from loopclinic.lessons.core.call import Call, Calls, now
from loopclinic.lessons.core.check_threads import Offload, small_machine
from loopclinic.lessons.core.shared_findings import Ending, Left, Loop, Place, Stall
from loopclinic.lessons.core.stacks import innermost, learners
from loopclinic.lessons.schedules.virtual_time import VirtualLoop
from loopclinic.probe import Probe, Snapshot
from loopclinic.servers import Upstream

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from loopclinic.lessons.core.scene import Scene

# Kept from before a lab is imported, which may replace them.
_sleep, _wait, _all_tasks = asyncio.sleep, asyncio.wait, asyncio.all_tasks
_thread_time, _threads = time.thread_time, threading.active_count

_POLL = 0.02
"""Seconds between looks at what waits where."""
_STALL = 0.02
"""Seconds of one iteration from which its line is looked for."""
_GRACE, _FORCED = 0.25, 0.3
"""Seconds for tasks that are just ending, and for those that are cancelled."""
_ARRIVES = 0.05
"""Seconds for requests that were on their way when their sender was cancelled."""
_IN_TIME = 6.0
"""Seconds after which nothing is measured twice or at length: a verdict takes 15 s at most."""

K = TypeVar("K", bound=Hashable)
F = TypeVar("F")
T = TypeVar("T")


class Line(Protocol):
    """The child's side of a check, which a stage stands on."""

    seed: int
    rng: Random
    folder: Path
    services: Mapping[str, str]

    @property
    def antipattern(self) -> ModuleType:
        """The lab as shipped, to be measured in the same run."""

    def step(self, name: str) -> None:
        """Say what is tried now: the words a verdict uses if the lab hangs here."""

    def fact(self, name: str, value: Any) -> None:
        """Report a JSON value; it reaches the parent even if the lab hangs later."""


class Watch:
    """Looks, while it is open, where `calls` wait, how many threads there are and how the loop fares."""

    def __init__(self, probe: Probe, threads: int, alone: float) -> None:
        self.calls: list[Call] = []
        self.found: Loop
        self._probe, self._threads, self._alone = probe, threads, alone
        self._most, self._nested = 0, False
        self._places: Counter[Place] = Counter()

    async def __aenter__(self) -> Self:
        self._mark, self._cpu = self._probe.snapshot(), _thread_time()
        self._virtual, self._began = _virtual(), now()
        if self._virtual is not None:
            self._slept, self._waited = len(self._virtual.stalls), self._virtual.waited()
        self._task = asyncio.create_task(self._look())
        await _sleep(0)  # a stall belongs to the watch that was open when its iteration began
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await _wait([self._task])
        end, cpu = self._probe.snapshot(), _thread_time() - self._cpu
        await _sleep(0)  # a stall is on record once its iteration is over
        mark, since = self._mark, end.since(self._mark)
        seconds, sleeps = since.seconds, list[Stall]()
        spent = (since.utilization or 0.0) * seconds
        if self._virtual is not None:
            # A probe sees what really takes time: waits for a processor, too, but no sleep and no rest.
            seconds, sleeps = now() - self._began, self._virtual.stalls[self._slept :]
            spent = max(0.0, spent - (self._virtual.waited() - self._waited))
            spent += sum(one.seconds for one in sleeps)
            # What takes no virtual time may be all that there is.
            seconds = max(seconds, spent, 1e-6)
        self.found = Loop(
            seconds=seconds,
            alone=self._alone,
            busy=spent / max(seconds, self._alone),
            computing=cpu / max(spent, 1e-6),
            lag=(_squares(mark, end) + sum(one.seconds**2 for one in sleeps)) / (2 * seconds),
            lag_p99=since.lag.p99,
            threads=self._most - self._threads,
            stall=_longest([*_stalls(self._probe, mark.at), *sleeps]),
            waited=self._places.most_common(1)[0][0] if self._places else None,
            nested=self._nested,
        )

    async def _look(self) -> None:
        while True:
            self._most = max(self._most, _threads())
            for call in self.calls:
                if (place := call.look()) is not None:
                    self._places[place] += 1
            self._nested = self._nested or _nested(sys._getframe())  # noqa: SLF001 - documented
            await _sleep(_POLL)


class Census:
    """Counts the tasks of a call's making: the most, those at its end, and those it leaves."""

    def __init__(self, call: Call) -> None:
        self.peak, self.left, self._call = 0, Left(), call
        self._others = _all_tasks() - {call.task}
        call.count = self.count

    def count(self) -> int:
        """Return how many there are now."""
        now = len(_all_tasks() - self._others - {self._call.task})
        self.peak = max(self.peak, now)
        return now

    async def __aenter__(self) -> Self:
        self._watch = asyncio.create_task(self._look())
        self._others.add(self._watch)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give tasks a moment to end, count the rest, and cancel them."""
        self._watch.cancel()
        await _wait([self._watch])
        ends = now() + _GRACE
        while (left := _all_tasks() - self._others) and now() < ends:
            await _sleep(_POLL)
        place = None
        for task in left:
            place = place or innermost((one, one.f_lineno or 0) for one in task.get_stack())
            task.cancel()
        if left:
            await _wait(left, timeout=_FORCED)
        self.left = Left(len(left), place)

    async def _look(self) -> None:
        while True:
            self.count()
            self._call.look()
            await _sleep(_POLL)


class Stage(Offload):
    """What a scene is given. `clock`, `sleep` and `wait` are the only time there is.

    The loop's default executor is that of a machine with two cores. Blocking work of the check's own
    has a thread of its own: see `outside`.
    """

    clock = staticmethod(now)
    sleep = staticmethod(_sleep)
    wait = staticmethod(_wait)

    upstream: Upstream
    """The service, by its address: see `dials`."""
    session: aiohttp.ClientSession
    """A session to the service, without a timeout of its own."""
    threads: int
    """Threads that there were before the lab was called."""

    def __init__(self, line: Line, probe: Probe) -> None:
        self.rng, self.seed, self.antipattern = line.rng, line.seed, line.antipattern
        self.step, self.services = line.step, line.services
        self.threads = _threads()
        self._line, self.probe = line, probe
        self.findings: dict[type[Any], Any] = {}
        """What earlier scenes found."""
        self._vitals: dict[str, float] = {}
        self._began = now()
        self._number: int | None = None
        self._shared: dict[Any, Any] = {}
        self.stack = AsyncExitStack()
        """Closed when the check is over."""

    @property
    def folder(self) -> Path:
        """A temporary folder, removed afterwards."""
        return self._line.folder

    # Between scenes.

    async def shared(
        self, make: Callable[..., AbstractAsyncContextManager[T]], *values: object
    ) -> T:
        """Return what scenes share: `make(*values)`, entered when first asked for, left at the end."""
        if make not in self._shared:
            self._shared[make] = await self.stack.enter_async_context(make(*values))
        found: T = self._shared[make]
        return found

    def found(self, scene: type["Scene[F]"]) -> F | None:
        """Return what an earlier scene found."""
        found: F | None = self.findings.get(scene)
        return found

    def vital(self, **figures: float) -> None:
        """Report figures that a verdict shows beside its reasons."""
        self._vitals |= figures
        self._line.fact("vitals", self._vitals)

    def numbers(self, many: int) -> int:
        """Reserve `many` consecutive numbers that were never used before, and return the first."""
        first = self.rng.randrange(1000, 5000) if self._number is None else self._number
        self._number = first + many
        return first

    async def until(
        self, look: "Callable[[], Awaitable[T]]", enough: Callable[[T], bool], within: float
    ) -> T:
        """Call `look` until its result is `enough`, for `within` seconds at most; return the last result."""
        ends = now() + within
        while not enough(seen := await look()) and now() < ends:
            await _sleep(_POLL)
        return seen

    @property
    def in_time(self) -> bool:
        """Whether there is time left for more than the least."""
        return now() - self._began < _IN_TIME

    # The service.

    async def dials(self, **dials: Any) -> None:
        """Reset the service's dials and counts, then turn these dials."""
        await self.upstream.reset()
        await self.upstream.set(**dials)

    async def requests_after(self, seconds: float, bodies: Sequence[bytes] = ()) -> int:
        """Return how many requests are sent within `seconds`, of these bodies only if there are any.

        What is on its way when this is called does not count.
        """
        await _sleep(_ARRIVES)
        before = await self.upstream.counts()
        await _sleep(seconds)
        after = await self.upstream.counts()
        if not bodies:
            return after.requests - before.requests
        return sum(len(after.arrivals_of(one)) - len(before.arrivals_of(one)) for one in bodies)

    # Calls.

    def watch_loop(self, alone: float = 0.0) -> Watch:
        """Watch the loop; `found` is there when the context is left. Add calls to `calls`."""
        return Watch(self.probe, self.threads, alone)

    async def watched(
        self, calls: Calls[K], cap: float, *, alone: float = 0.0
    ) -> tuple[list[Ending], Loop]:
        """Wait so long at most for calls that were just begun; return how each ended, and the loop."""
        async with self.watch_loop(alone) as watch:
            watch.calls += calls.values()
            endings = await calls.settled(cap)
        return endings, watch.found

    def count_leftovers(self, call: Call) -> Census:
        """Count the tasks that a call makes; `left` is there when the context is left."""
        return Census(call)


@asynccontextmanager
async def opened(line: Line, *, connections: int) -> AsyncIterator[Stage]:
    """Open a stage. Its session has so many connections at most, 0 for any number."""
    with small_machine() as own, Probe(threshold=_STALL) as probe:
        stage = Stage(line, probe)
        stage.own = own
        if (address := line.services.get("faulty_upstream")) is None:
            yield stage
            return
        stage.step("the first connection")
        stage.upstream = Upstream(address)
        await stage.dials()
        connector = aiohttp.TCPConnector(limit=connections)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(address, connector=connector, timeout=timeout) as session:
            # What is made once, such as a connection or a codec, is made now.
            async with session.get("/warm-up") as answer:
                await answer.read()
            stage.session, stage.threads = session, _threads()
            yield stage


def _squares(earlier: Snapshot, later: Snapshot) -> float:
    """Return the squared seconds of each iteration in between, added up.

    By these an event that comes at a random moment waits, on average. The mean and not a percentile: in
    two seconds one stumble of the machine is the p99 already.
    """
    pairs = zip(earlier.counts, later.counts, earlier.sums, later.sums, strict=True)
    return sum((s1 - s0) ** 2 / (c1 - c0) for c0, c1, s0, s1 in pairs if c1 > c0)


def _virtual() -> VirtualLoop | None:
    """Return the running loop if it is in virtual time."""
    loop = asyncio.get_running_loop()
    return loop if isinstance(loop, VirtualLoop) else None


def _stalls(probe: Probe, since: float) -> Iterable[Stall]:
    """Yield the stalls of the learner's lines that a probe saw since then."""
    for one in probe.stalls:
        if one.started >= since and one.file and one.line and learners(one.file):
            yield Stall(Place(one.file, one.line, one.code or ""), one.seconds, one.conflict)


def _longest(stalls: Sequence[Stall]) -> Stall | None:
    """Return the longest stall at the line with the most stalled seconds."""
    seconds: dict[Place, float] = {}
    for one in stalls:
        seconds[one.place] = seconds.get(one.place, 0.0) + one.seconds
    worst = max(seconds, key=seconds.__getitem__, default=None)
    there = (one for one in stalls if one.place == worst)
    return max(there, key=lambda one: one.seconds, default=None)


def _nested(frame: FrameType | None) -> bool:
    depth = 0
    while frame is not None:
        depth += frame.f_code.co_name == "_run_once"
        frame = frame.f_back
    return depth > 1
