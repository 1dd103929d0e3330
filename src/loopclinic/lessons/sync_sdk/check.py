"""Check of lab 06: four scenes; MinIO's SDK, with each call noted, on a real S3 server that is far away."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from minio import Minio
from minio.error import S3Error

from loopclinic.lessons.core import (
    Budget,
    Call,
    Calls,
    Check,
    Ending,
    Judged,
    Kept,
    Loop,
    Place,
    Said,
    Scene,
)
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.stacks import defined_at
from loopclinic.lessons.core.verdicts import blocked, broke, counted, swallowed
from loopclinic.lessons.sync_sdk.noted_sdk import NotedSdk
from loopclinic.servers.s3 import access, remove
from loopclinic.servers.slow_proxy import SlowLine
from loopclinic.units import count, span

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

BLOCKED = Budget(
    0.3, "of the time", "A right answer blocks it for 5 %; one that waits on the loop, for 90 %."
)
CANCEL = Budget(0.2, "s", "A right answer takes a millisecond; one that waits for its thread, 500.")
SHOWN = 0.1
"""Seconds from which on a wait for a thread is told."""
ENDS = Budget(0.2, "s", "Threads whose executor has shut down end in a millisecond, others never.")

# Kept from before a lab is imported, which may replace them.
_sleep, _wait, _to_thread = asyncio.sleep, asyncio.wait, asyncio.to_thread

_LOOK = 0.005
_OPENS, _PATIENCE = 2.0, 6.0
_OWN = "Run it on a ThreadPoolExecutor(size) of your own, by loop.run_in_executor."


class Bench:
    """The check's own client, and its slow line to the server: `await stage.shared(Bench, stage)`."""

    def __init__(self, stage: "Stage") -> None:
        self._outside, url = stage.outside, stage.services["s3"]
        self._client, self._buckets = Minio(**access(url)), list[str]()
        self.line = SlowLine(url, there_and_back=0.1)

    def bucket(self) -> str:
        """Return the name of a bucket that does not exist; it is removed at the end."""
        self._buckets.append(f"loopclinic-{uuid.uuid4().hex}")
        return self._buckets[-1]

    async def stored(self, bucket: str, name: str) -> bytes | None:
        """Return what the server has under this name."""

        def get() -> bytes | None:
            try:
                with self._client.get_object(bucket, name) as answer:
                    return answer.read()
            except S3Error:
                return None

        return await self._outside(get)

    async def __aenter__(self) -> Self:
        await self._outside(self.line.__enter__)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._outside(self.line.__exit__)
        for one in self._buckets:
            await self._outside(remove, self._client, one)


def _told(ending: Ending | str) -> str:
    """Return how a call ended, without what S3 adds to an error for its own logs."""
    return str(ending).partition(", resource:")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A storage that was opened and closed, unless that failed, and the lines of its `put` and `get`."""

    failed: Ending | None
    put_at: Place | None
    get_at: Place | None


class _Storing(Scene[Any]):
    """A scene at a lab's storage: opened, driven, closed."""

    size: ClassVar[int] = 2
    seconds: ClassVar[float] = 0.1
    """Of a round trip to the server."""
    stage: "Stage"
    bench: Bench
    sdk: NotedSdk
    bucket: str
    storage: Any
    over: asyncio.Event
    holder: Call

    async def meet(self, found: Any) -> None:
        """Drive the storage and set the finding's fields."""
        raise NotImplementedError

    async def drive(self, lab: ModuleType, stage: "Stage") -> Any:
        self.stage, self.bench = stage, await stage.shared(Bench, stage)
        self.bucket, self.over = self.bench.bucket(), asyncio.Event()
        self.sdk = NotedSdk(self.bench.line.dsn)
        self.slow(self.seconds)
        opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def hold() -> None:
            # Opened and closed in one task, as by `async with` in a program.
            async with lab.Storage(self.sdk.connect, self.bucket, size=self.size) as storage:
                if not opened.done():
                    opened.set_result(storage)
                await self.over.wait()

        self.holder = Call(hold)
        await _wait([opened, self.holder.task], timeout=_OPENS, return_when=asyncio.FIRST_COMPLETED)
        found, failed = SimpleNamespace(), self.holder.ending()
        if opened.done():
            self.storage = opened.result()
            await self.meet(found)
        opened.cancel()
        self.over.set()
        ending = await self.holder.settled(_PATIENCE)
        if not opened.cancelled():
            failed = ending
        unset = dict.fromkeys(it.name for it in fields(self.Found) if it.default is MISSING)
        given = {
            "failed": None if failed.returned else failed,
            "put_at": defined_at(lab.Storage.put),
            "get_at": defined_at(lab.Storage.get),
        }
        return self.Found(**unset | vars(found) | given)

    def slow(self, seconds: float) -> None:
        """Let a round trip take so many seconds from now on."""
        self.bench.line.delay = seconds / 2

    def put(self, name: str, data: bytes = b"picture") -> Call:
        """Begin to store these bytes."""
        return Call(lambda: self.storage.put(name, data), "put")

    def get(self, name: str) -> Call:
        """Begin to get what is stored under this name."""
        return Call(lambda: self.storage.get(name), "get")

    async def under_way(self, calls: int, within: float) -> None:
        """Wait until so many calls of the SDK are under way, so many seconds at most."""
        ends = self.stage.clock() + within
        while self.sdk.under_way != calls and self.stage.clock() < ends:
            await _sleep(_LOOK)

    def judge(self, found: Any, judged: Judged) -> Iterator[Said]:
        if found.failed is None:
            yield from self.reasons(found, judged)
        elif not judged.breaks(2, 6):
            said = f"`async with Storage(...)` did not open and close: it {_told(found.failed)}."
            step = "Open without a request, since the first call connects; close without an error."
            place = found.failed.place or found.put_at
            yield broke(6, said, step, place, timed=found.failed.overdue)

    def reasons(self, found: Any, judged: Judged) -> Iterator[Said]:
        """Judge what `meet` found."""
        raise NotImplementedError


class First(_Storing):
    """Many first calls together; then some of what they stored is read."""

    size, seconds, many, read = 3, 0.2, 12, 3
    title, promises = f"{many} first calls together, with size={size}", (1, 2, 3, 4)

    @dataclass(frozen=True, slots=True)
    class Found(_Opened):
        """What became of the calls, and what the SDK noted of them."""

        endings: list[Ending]
        stored: int
        """Files that the server has as they were given."""
        got: int
        """Files that `get` returned as they were given."""
        loop: Loop
        on_loop: dict[str, Place | None]
        """Methods that ran on the loop's thread, the one called most first."""
        most: int
        """Calls of the SDK at once."""
        threads: int
        on_default: int
        """Threads that they ran on, and those of them that were the default executor's."""
        thread_wait: float
        """Seconds that asyncio.to_thread waited for a thread meanwhile."""
        connects: int
        makes: int

    async def meet(self, found: Any) -> None:
        files = {f"{n}.png": self.stage.rng.randbytes(1500 * n + 900) for n in range(self.many)}
        async with self.stage.watch_loop() as watch:
            puts = Calls({name: self.put(name, data) for name, data in files.items()})
            watch.calls += puts.values()
            await _sleep(0.5)
            thread = Call(lambda: _to_thread(int))
            endings = await puts.settled(_PATIENCE)
            gets = Calls({name: self.get(name) for name in [*files][-self.read :]})
            found.endings = endings + await gets.settled(_OPENS)
        found.loop, found.thread_wait, sdk = watch.found, thread.seconds(), self.sdk
        found.got = sum(gets[name].value == files[name] for name in gets)
        stored = [await self.bench.stored(self.bucket, name) == files[name] for name in files]
        calls = sorted(sdk.on_loop, key=sdk.times, reverse=True)
        found.stored, found.on_loop = sum(stored), {name: sdk.on_loop[name] for name in calls}
        found.most, found.threads, found.on_default = sdk.most, len(sdk.threads), sdk.on_default
        found.connects, found.makes = sdk.times("connect"), sdk.times("make_bucket")
        self.stage.vital(
            seconds_for_twelve_files=round(max(one.seconds for one in endings), 3),
            to_thread_waited=round(found.thread_wait, 3),
            sdk_threads=found.threads,
        )

    def reasons(self, found: "First.Found", judged: Judged) -> Iterator[Said]:
        yield from self._free(found)
        if not judged.breaks(2):
            yield from self._threads(found)
        yield from self._once(found)
        bad, more = next((one for one in found.endings if not one.returned), None), dict[str, Any]()
        who, place = f"Of {self.many} first calls together", found.put_at
        if bad is not None:
            said, step = f"{who}, one {_told(bad)}.", "See what stopped it."
            place, more = bad.place or place, {"timed": bad.overdue}
        elif found.stored < self.many or found.got < self.read:
            said = f"{who}, each `put` returned. The server has {found.stored} of {self.many} files as they were "
            said += f"given, and `get` returned {found.got} of {self.read}."
            step = "Send all bytes before `put` returns, and return all of them from `get`."
            place = found.get_at if found.stored == self.many else place
        else:
            yield Kept(1)
            return
        if bad is None or not judged.breaks(2, 3, 4):
            yield broke(1, said, step, place, **more)

    def _free(self, found: "First.Found") -> Iterator[Said]:
        if found.on_loop:
            names = ", ".join(f"`{name}`" for name in found.on_loop)
            place = next(filter(None, found.on_loop.values()), found.put_at)
            said = f"On the event loop's own thread, these ran, and nothing else meanwhile: {names}. The loop was "
            said += f"busy {found.loop.busy:.0%} of the time."
            more = {"measured": count(len(found.on_loop), "method"), "budget": "0 methods"}
            yield broke(2, said, _OWN, place, conflict="blocking-sdk", **more)
        else:
            while_ = f"{self.many} files were stored"
            yield from blocked(found.loop, BLOCKED, while_, promise=2, next_step=_OWN)

    def _threads(self, found: "First.Found") -> Iterator[Said]:
        size, most, threads = self.size, found.most, count(found.threads, "thread")
        measured, budget, conflict = threads, f"{size} threads", "too-many-connections"
        if found.on_default:
            shared = count(found.on_default, "thread")
            said = f"Calls of the SDK ran on {shared} of the default executor. asyncio.to_thread and the lookup of "
            said += "host names have no others"
            waited = f": one call of asyncio.to_thread waited {span(found.thread_wait)}."
            said += waited if found.thread_wait > SHOWN else "."
            measured, budget, conflict = shared, "0 shared threads", "executor-saturation"
        elif found.threads > size or most > size:
            said = f"With size={size}, calls of the SDK ran on {threads}, {most} at once."
        elif most < size:
            said = f"{count(most, 'call')} of the SDK ran at once, while {self.many} waited and size={size} allowed more."
            measured, budget, conflict = f"{most} at once", f"{size} at once", "sequential-awaits"
        else:
            yield Kept(3)
            return
        step = "Make one ThreadPoolExecutor(size), hand it to run_in_executor, and let it be the only limit."
        place = found.loop.waited or found.put_at
        yield broke(3, said, step, place, conflict=conflict, measured=measured, budget=budget)

    def _once(self, found: "First.Found") -> Iterator[Said]:
        if found.connects == found.makes == 1:
            yield Kept(4)
            return
        bad = next((one for one in found.endings if one.raised), None)
        said = f"{self.many} first calls together and {self.read} later ones called `connect` "
        said += f"{count(found.connects, 'time')} and `make_bucket` {count(found.makes, 'time')}"
        said += f"; one raised {_told(bad.message)}." if bad else "."
        step = "Hold one lock from the check to the assignment, and look again inside of it."
        if found.connects > self.many:
            step = "Keep the client that `connect` returns, and let every call use it."
        more = counted(max(found.connects, found.makes), 1, "time")
        place = (bad and bad.place) or found.loop.waited or found.put_at
        yield broke(4, said, step, place, conflict="lazy-init-race", **more)


class Failing(_Storing):
    """Connecting fails, making the bucket, an upload; later calls try again. At last, a file is missing."""

    title, promises = "connecting fails, the bucket, an upload; then a file is missing", (1, 4)

    @dataclass(frozen=True, slots=True)
    class Found(_Opened):
        """How calls ended: no connection, no bucket, a put, one that fails, a get, a get of what is missing."""

        endings: list[Ending]
        same: list[bool]
        """Whether each raised the error that the SDK had raised."""
        got: bool

    async def meet(self, found: Any) -> None:
        steps = (
            (self.put, "a", "connect"),
            (self.put, "b", "make_bucket"),
            (self.put, "c", ""),
            (self.put, "d", "put_object"),
            (self.get, "c", ""),
            (self.get, "missing", ""),
        )
        found.endings, found.same, values = [], [], list[Any]()
        for begin, name, fails in steps:
            if fails:
                self.sdk.failures[fails] = OSError(f"{fails} failed")
            call = begin(name)
            found.endings.append(await call.settled(_OPENS))
            raised = call.task.exception() if found.endings[-1].raised else None
            found.same.append(raised is not None and raised in self.sdk.raised[-1:])
            values.append(call.value)
        found.got = values[4] == b"picture"

    def reasons(self, found: "Failing.Found", judged: Judged) -> Iterator[Said]:
        _, _, put, _, get, _ = found.endings
        if not put.returned:
            if not judged.breaks(4):
                said = f"Connecting had failed, and making the bucket had; the next call, with all well again, {_told(put)}."
                step = "Keep the client only when there is a bucket, and keep no failure."
                place = put.place or found.put_at
                yield broke(4, said, step, place, conflict="lazy-init-race", timed=put.overdue)
            return
        if found.endings[0].raised:  # else it may have connected before the first call
            yield Kept(4)
        missing = "`get_object`, of what is missing,"
        what = "`connect`", "`make_bucket`", "", "`put_object`", "", missing
        pairs = zip(what, found.endings, found.same, strict=True)
        bad = next(((name, end) for name, end, same in pairs if name and not same), None)
        if bad is None and get.returned and found.got:
            yield Kept(1)
            return
        said, end = f"`get` of a file that is stored {_told(get)}.", get
        step = "Return all of its bytes."
        if bad is not None:
            (name, end), step = bad, "Let errors of `connect` and of the SDK through as they are."
            said = f"{name} raised an error; the call that needed it {_told(end)} instead."
            if end is found.endings[0] and end.returned:
                said = f"`connect` was to raise an error in the first call, which {_told(end)} instead."
                step = "Connect in the first call, not before, and let its error out as it is."
        conflict = "masked-failure" if end.returned and bad else None
        yield broke(1, said, step, end.place or found.put_at, conflict=conflict, timed=end.overdue)


class Cancelled(_Storing):
    """Calls that are cancelled while the first one connects, while threads are at work, in the queue."""

    seconds = 0.5
    title, promises = "calls that are cancelled: while connecting, at work, in the queue", (3, 5)

    @dataclass(frozen=True, slots=True)
    class Found(_Opened):
        """What became of those cancelled, and of those beside them."""

        beside: list[Ending]
        """Of the call that came second, while the first one connected, and of two that came after."""
        endings: list[Ending]
        sent: int
        """Files of cancelled calls that had not begun, sent all the same."""
        most: int
        connects: int
        """Connections that were made after the calls were cancelled."""

    async def meet(self, found: Any) -> None:
        self.slow(0.1)
        first, second = self.put("first"), self.put("second")
        await _sleep(0.05)
        await first.cancelled(CANCEL.limit)
        found.beside = [await second.settled(_OPENS)]
        await self.under_way(0, 1.0)
        self.slow(self.seconds)
        self.sdk.most, connects = 0, self.sdk.times("connect")
        calls = Calls({name: self.put(name) for name in ("a", "b", "c", "d")})
        await self.under_way(self.size, self.seconds / 3)
        running = Calls({name: call for name, call in calls.items() if not call.done})
        found.endings = await running.cancelled(CANCEL.limit)
        found.beside += await Calls({name: self.put(name) for name in ("e", "f")}).settled(3.0)
        await self.under_way(0, 1.0)
        found.connects = self.sdk.times("connect") - connects
        found.most, sent = self.sdk.most, {name for _, name in self.sdk.made}
        found.sent = len({"c", "d"} & sent)

    def reasons(self, found: "Cancelled.Found", judged: Judged) -> Iterator[Said]:
        if judged.breaks(2, 3, 4) or len(found.endings) < 2 * self.size:
            return  # calls were not where they were to be cancelled
        slow = [it for it in found.endings if it.how != "cancelled" or it.seconds > CANCEL.limit]
        hurt = next((one for one in found.beside if not one.returned), None)
        place, more = found.put_at, dict[str, Any]()
        conflict: str | None = "dropped-task"
        if slow:
            who, place = "A call was cancelled while a thread worked for it", slow[0].place
            step = "Let CancelledError out at once: the thread ends by itself."
            yield swallowed(slow[0], CANCEL, who, place or found.put_at, promise=5, next_step=step)
            return
        if hurt is not None:
            if judged.breaks(1):
                return
            conflict = None
            said, place = f"A call was cancelled, and another one {_told(hurt)}.", hurt.place
            step = "Connect inside of the hop, or shield what others wait for from each of them."
        elif found.most > self.size:
            said = f"With size={self.size}, calls were cancelled while threads worked for them. Then {found.most} calls "
            said += "of the SDK ran at once: places were free before their threads were done."
            step = "Let the threads themselves be the limit, in one executor for the whole time."
            conflict = "too-many-connections"
            more = {"measured": f"{found.most} at once", "budget": f"{self.size} at once"}
        elif found.sent:
            said = f"{count(found.sent, 'file')} of calls that were cancelled in the queue went out all the same."
            step = "Await the executor's future without a shield: a cancel takes it out of "
            step += "the queue."
            more = {"measured": count(found.sent, "file"), "budget": "0 files"}
        elif found.connects:
            said = "Calls were cancelled, and those that came next connected once more."
            step, conflict = "Keep the client: a call that is cancelled says nothing of it.", None
            more = counted(found.connects, 0, "connection")
        else:
            yield Kept(3)
            yield Kept(5)
            return
        yield broke(5, said, step, place or found.put_at, conflict=conflict, **more)


class Closing(_Storing):
    """Closed while two calls are at work, of which the first was cancelled, and one waits for a thread."""

    seconds = 0.6
    title, promises = "closing, while two calls are at work and one waits", (2, 6)

    @dataclass(frozen=True, slots=True)
    class Found(_Opened):
        """What was left when `async with` had ended."""

        under_way: int
        threads: int
        """Threads of the lab's own that lived on."""
        waiting: Ending
        """Of the calls that were not cancelled, the first that did not return, else the last."""
        loop: Loop

    async def meet(self, found: Any) -> None:
        self.slow(0.05)
        await self.put("first").settled(_OPENS)
        self.slow(4 * self.seconds)  # the thread of the caller that leaves is to be the last
        left = self.put("left")
        await self.under_way(1, self.seconds / 6)
        await _sleep(self.seconds / 6)
        self.slow(self.seconds / 2)
        waits = self.put("waits")
        await self.under_way(2, self.seconds / 6)
        queued = self.put("queued")
        await left.cancelled(CANCEL.limit)
        async with self.stage.watch_loop(self.seconds / 2) as watch:
            self.over.set()
            await self.holder.within(_PATIENCE)
            found.under_way = self.sdk.under_way
        endings = [await waits.settled(1.0), await queued.settled(1.0)]
        found.loop, found.waiting = watch.found, min(endings, key=lambda one: one.returned)
        ends = self.stage.clock() + ENDS.limit
        while (alive := self.sdk.own_alive()) and self.stage.clock() < ends:
            await _sleep(_LOOK)
        found.threads = alive

    def reasons(self, found: "Closing.Found", judged: Judged) -> Iterator[Said]:
        if not judged.breaks(2):
            step = "Wait on a thread: await asyncio.to_thread(executor.shutdown)."
            yield from blocked(found.loop, BLOCKED, "the storage closed", promise=2, next_step=step)
        ended, conflict = "When `async with` had ended", "abrupt-shutdown"
        measured, budget = count(found.under_way, "call"), "0 calls"
        if found.under_way:
            said = f"{ended}, {measured} of the SDK went on."
        elif not found.waiting.returned:
            said = f"A call was under way when the storage closed, and {_told(found.waiting)}."
            measured, budget = "1 failed call", "0 failed calls"
        elif found.threads:
            measured, budget = count(found.threads, "thread"), "0 threads"
            said, conflict = f"{ended}, {measured} of the storage lived on.", "unclosed-resource"
        else:
            yield Kept(6)
            return
        step = "In __aexit__, wait until the executor has shut down, and take nothing out of its queue."
        more = {"conflict": conflict, "measured": measured, "budget": budget}
        yield broke(6, said, step, found.put_at, **more)


def praise(judged: Judged) -> str:
    """Return the sentence of a pass, with its best numbers."""
    first, cancelled = judged.expect(First), judged.expect(Cancelled)
    slowest = max([0.001, *(one.seconds for one in cancelled.endings)])
    return (
        f"{First.many} files went out on {count(first.threads, 'thread')}; meanwhile the loop was busy "
        f"{first.loop.busy:.0%} of the time, and asyncio.to_thread waited {span(first.thread_wait)}. A cancelled "
        f"call ended within {span(slowest)}, and nothing was under way when the storage had closed."
    )


CHECK = Check(
    scenes=(First(), Failing(), Cancelled(), Closing()),
    praise=praise,
    leaves_nothing=6,
    leftovers_judged=("threads", "calls"),  # Closing judges them
)

FIGURES = (Figure("sdk_threads", "Its calls of the SDK run on", "threads", 3),)
