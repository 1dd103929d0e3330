"""Check of lab 12: six scenes, in which threads of a real Celery worker call the lab's bridge."""

import asyncio
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from loopclinic.lessons.core import Budget, Check, Ending, Judged, Kept, Place, Said
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.stacks import learners, line_at
from loopclinic.lessons.core.verdicts import broke, none_of
from loopclinic.lessons.loop_boundaries import bridge_scene as base
from loopclinic.lessons.loop_boundaries.bridge_scene import GONE, SIZE, BridgeScene, Lines, one
from loopclinic.lessons.loop_boundaries.celery_worker import THREADS
from loopclinic.servers.slow_proxy import SlowLine
from loopclinic.units import count, span

TIMEOUT = 0.3
LATE = Budget(2.0, "s", "Right: 0.3 s and 0.1 s of clean-up; without a deadline, 60 s.")
ENDS = Budget(3.0, "s", "A process that waits for no thread ends in 0.1 s; else never.")

# Kept from before a lab is imported, which may replace them.
_sleep, _wait, _loop_of, _run = asyncio.sleep, asyncio.wait, asyncio.get_running_loop, asyncio.run

_LOOK = 0.01
_SETTLES = 0.1
_CLEAN_UP = 0.1
_PATIENCE = 6.0
_TOGETHER, _TASKS, _CALLS = 12, 38, 10
"""First calls together, tasks after them, calls of each."""
_FEW = 6
"""Of these tasks, as many as show whether each call has a loop of its own."""
_OTHER_LOOP = (
    *("attached to a different loop", "different event loop", "another operation is in"),
    "> got Future <",  # the rest of the first, where the message was cut
)
_OF_LOOPS = "loop-bound-primitive", "nested-loop"
"""Conflicts by which calls fail: why, the first of them says."""
_NESTED = ("already running", "while another loop is running", "from a running event loop")


class Door(SlowLine):
    """A line to PostgreSQL that ends each connection at once while it is not `up`."""

    up = False
    knocks = 0
    """Connections that were tried."""

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.knocks += 1
        if self.up:
            await super()._line(reader, writer)
        else:
            writer.close()


class Opening(BridgeScene):
    """Made while PostgreSQL is away; called then, and again when it is back."""

    title, promises = "a first call while PostgreSQL is away, and one when it is back", (3,)

    @dataclass(frozen=True, slots=True)
    class Found(Lines):
        """What was there before the first call, and what became of two calls."""

        early_threads: int
        early_connections: int
        away: Ending
        back: Ending

    async def address(self) -> str:
        self.door = Door(await super().address(), there_and_back=0)
        await self.stage.stack.enter_async_context(self.stage.at_work(self.door))
        return self.door.dsn

    async def meet(self, found: Any) -> None:
        await _sleep(_SETTLES)
        found.early_threads, found.early_connections = len(self.threads()), self.door.knocks
        found.away = await self.run(one).over()
        self.door.up = True
        found.back = await self.run(one).over()

    def judge(self, found: "Opening.Found", judged: Judged) -> Iterator[Said]:
        threads, connections = found.early_threads, found.early_connections
        if threads or connections:
            made = [f"started {count(threads, 'thread')}, which a fork has not"] * bool(threads)
            opened = f"opened {count(connections, 'connection')}, which a fork shares"
            said = f"Before the first call, `Bridge(...)` {', and '.join(made + [opened] * bool(connections))}."
            more = none_of(threads + connections, "thread or connection", "threads and connections")
            yield broke(3, said, "Open in the first call of `run`.", found.run_at, **more)
            return
        away, back = found.away, found.back
        for right, ending, when, step in (
            (away.raised, away, "was away", "Let the error of opening reach the caller."),
            (back.value == "1", back, "was away and is back", "Keep no failure: open anew."),
        ):
            if not right:
                said = f"PostgreSQL {when}; a call {ending}."
                place = ending.place or found.run_at
                yield broke(3, said, step, place, timed=ending.overdue)
                return
        yield Kept(3)


@dataclass(frozen=True, slots=True)
class Made:
    """What calls ran on, counted."""

    calls: int
    loops: int
    pools: int
    threads: int


class Many(BridgeScene):
    """First calls together, then hundreds, by tasks that make ten each."""

    title, promises = f"{_TOGETHER} first calls together, and those that come later", (1, 2)

    @dataclass(frozen=True, slots=True)
    class Found(Lines):
        """What the calls ran on, and what PostgreSQL saw of them."""

        first: Made
        later: Made
        opened: int
        """Connections that were opened in all."""
        peak: int
        failed: int
        """Tasks one of whose calls raised, or did not return what it was to."""
        bad: Ending | None
        """Of one of them."""
        place: Place | None
        """The lab's line that ran a loop."""

    async def meet(self, found: Any) -> None:
        found.bad = found.place = None
        found.failed, ran = 0, list[tuple[Any, Any, int]]()
        together, number = threading.Barrier(_TOGETHER), self.stage.numbers(_TOGETHER)

        def calls(numbers: Sequence[int]) -> list[int]:
            async def work(pool: Any, number: int) -> int:
                ran.append((_loop_of(), pool, threading.get_ident()))
                found.place = _loop_line(sys._getframe()) or found.place  # noqa: SLF001 - documented
                return int(await pool.fetchval("select $1::int", number))

            run = self.bridge.run
            return [run(lambda pool, n=it: work(pool, n), timeout=5.0) for it in numbers]

        def meeting(numbers: Sequence[int]) -> list[int]:
            together.wait(_PATIENCE)
            return calls(numbers)

        def made(since: int = 0) -> Made:
            calls = ran[since:]
            loops, pools = ({id(it[place]) for it in calls} for place in (0, 1))
            return Made(len(calls), len(loops), len(pools), len({it[2] for it in calls}))

        async def over(call: Any, ranges: Sequence[Sequence[int]]) -> None:
            tasks = [self.task(partial(call, numbers)) for numbers in ranges]
            for ending, task, numbers in zip(
                await base.all_over(tasks), tasks, ranges, strict=True
            ):
                if not ending.returned or task.value != [*numbers]:
                    found.bad, found.failed = found.bad or ending, found.failed + 1

        async with self.database.watch(self.name) as sighting:
            await over(meeting, [[number + n] for n in range(_TOGETHER)])
            found.first, first = made(), len(ran)
            for tasks in (_FEW, _TASKS - _FEW):
                if not found.failed and made(first).loops <= 1:
                    at = self.stage.numbers(tasks * _CALLS)
                    await over(
                        calls,
                        [range(n, n + _CALLS) for n in range(at, at + tasks * _CALLS, _CALLS)],
                    )
        found.later, found.opened, found.peak = made(first), sighting.opened, sighting.peak
        self.stage.vital(calls=len(ran), connections_opened=found.opened)

    def judge(self, found: "Many.Found", judged: Judged) -> Iterator[Said]:
        first, later, place = found.first, found.later, found.place or found.run_at
        opened, bad = count(found.opened, "connection"), found.bad
        counted = f"PostgreSQL counted {opened} that {first.calls + later.calls} calls opened, {found.peak} at once."
        step = "Make one loop and one pool for the process, under a lock of threads, and keep both."
        more: dict[str, Any] = {"measured": count(later.loops, "loop"), "budget": "1 loop"}
        if later.loops > 1:
            each = later.loops > THREADS
            whose = "one for each call" if each else f"one for each of {later.threads} threads"
            said = f"{count(later.calls, 'call')} made {later.loops} event loops, {whose}. "
            said += f"{counted}"
            more["conflict"] = "loop-per-call" if each else "too-many-connections"
        elif bad is not None and any(text in bad.message for text in _OTHER_LOOP):
            said, place = self._failed(found, bad), bad.place or found.run_at
            step = "Make the pool on the loop that uses it, and use it on no other."
            more = {"conflict": "loop-bound-primitive"}
        elif bad is not None and any(text in bad.message for text in _NESTED):
            said, place = self._failed(found, bad), bad.place or found.run_at
            step = "Let one thread run the loop, and hand it work by run_coroutine_threadsafe."
            more = {"conflict": "nested-loop"}
        elif first.loops > 1 or first.pools > max(1, later.pools):
            step = "Start one loop under a lock of threads; make one pool on it, under an asyncio.Lock; look again inside."
            said = f"{_TOGETHER} first calls together ran on {count(first.loops, 'loop')} with "
            said += f"{count(first.pools, 'pool')}: each looked whether there was one, and "
            said += "found none."
            most = max(first.loops, first.pools)
            more = {"measured": count(most, "loop or pool", "loops or pools")}
            more |= {"budget": "1 of each", "conflict": "lazy-init-race"}
        elif (pools := max(first.pools, later.pools)) > 1 or found.opened > SIZE:
            said = f"{counted} They were given {count(pools, 'pool')}; size is {SIZE}."
            step = "Make one pool with max_size=size, and give that to all."
            more = {"measured": opened, "budget": count(SIZE, "connection")}
            more["conflict"] = "too-many-connections"
        elif bad is not None:
            said, place = self._failed(found, bad), bad.place or found.run_at
            yield broke(1, said, "See what stopped it.", place, timed=bad.overdue)
            return
        else:
            yield Kept(1)
            yield Kept(2)
            return
        yield broke(2, said, step, place, **more)
        if bad is None:
            yield Kept(1)

    @staticmethod
    def _failed(found: "Many.Found", bad: Ending) -> str:
        tasks = count(found.failed, "task")
        return f"{tasks} that called `run` and wanted a number of PostgreSQL failed; one {bad}."


def _loop_line(frame: Any) -> Place | None:
    """Return the lab's line that runs the loop on this frame's thread, None if it has none there."""
    inside = False
    while frame is not None:
        if inside and learners(frame.f_code.co_filename):
            return line_at(frame.f_code.co_filename, frame.f_lineno or 0)
        inside = inside or frame.f_code.co_name == "run_forever"
        frame = frame.f_back
    return None


class _OrderError(Exception):
    """An error of the check's own."""


class Answers(BridgeScene):
    """What calls return and raise, and how many of them run at once."""

    many = 12
    title, promises = f"what calls return and raise, and {many} calls at once", (1, 4)

    @dataclass(frozen=True, slots=True)
    class Found(Lines):
        """What was wrong with calls one by one, and how many ran at once."""

        wrong: list[tuple[str, Ending]]
        """What `work` returned or raised, and how the call ended instead."""
        most: int

    async def meet(self, found: Any) -> None:
        # Not sooner: PostgreSQL would count its connection as one of the calls before.
        await self.stage.shared(base.program, self.lab, self.stage)
        found.wrong = []
        for value in ({"rows": [1, 2]}, None, _OrderError(7)):

            async def gives(_: Any, value: Any = value) -> Any:
                return value

            task = self.run(gives)
            ending = await task.over()
            if not ending.returned or task.value is not value:
                found.wrong.append((f"returned {task.shown(value)}", ending))
        for error in (_OrderError(8), TimeoutError("of its own"), KeyError("order")):

            async def raises(_: Any, error: Exception = error) -> Any:
                raise error

            task = self.run(raises)
            ending = await task.over()
            # Not the same object: asyncio hands a TimeoutError from thread to thread as a copy.
            got = task.task.exception() if ending.raised else None
            if got is None or type(got) is not type(error) or got.args != error.args:
                found.wrong.append((f"raised {error!r}", ending))
        under_way, found.most, together = 0, 0, threading.Event()

        async def work(_: Any) -> None:
            nonlocal under_way
            under_way += 1
            found.most = max(found.most, under_way)
            while not together.is_set():
                await _sleep(_LOOK)
            under_way -= 1

        tasks = [self.run(work) for _ in range(self.many)]
        await self.until(lambda: under_way >= self.many, 3.0)
        together.set()
        await base.all_over(tasks)

    def judge(self, found: "Answers.Found", judged: Judged) -> Iterator[Said]:
        if not found.wrong:
            yield Kept(1)
        elif not judged.breaks(2):
            what, ending = found.wrong[0]
            how = f"{ending}{', another object' * (str(ending) == what)}"
            if ending.raised and ending.error[0] not in ending.said:
                how = f"raised {ending.error[0]}, with {ending.said} inside"
            said = f"`work` {what}, and `run` {how}."
            step = "Return what the future's result() returns, and let out what it raises."
            yield broke(1, said, step, ending.place or found.run_at)
        if found.most >= self.many:
            yield Kept(4)
        elif not judged.breaks(2):
            said = f"{self.many} threads called `run`, and {count(found.most, 'call')} ran at once."
            step = "Hold no lock and no place while a call runs: hand it to the loop, and wait."
            more: dict[str, Any] = {
                "measured": f"{found.most} at once",
                "budget": f"{self.many} at once",
            }
            more |= {"conflict": "sequential-awaits", "timed": True}
            yield broke(4, said, step, found.run_at, **more)


class OnLoop(BridgeScene):
    """Called where a loop runs: another one, and the one that runs `work`."""

    title, promises = "calls where an event loop runs already", (5,)
    where = "on the thread of another loop", "in `work` itself"

    @dataclass(frozen=True, slots=True)
    class Found(Lines):
        """How a call on another loop ended and one in `work`, and what became of their work."""

        endings: list[Ending]
        refused: list[bool]
        """Whether RuntimeError came out."""
        begun: list[bool]

    async def meet(self, found: Any) -> None:
        found.refused, found.begun = [False, False], [False, False]

        def call(at: int) -> Any:
            async def work(_: Any) -> str:
                found.begun[at] = True
                return "inner"

            try:
                return self.bridge.run(work, timeout=TIMEOUT)
            except RuntimeError:
                found.refused[at] = True
                return None

        async def other() -> Any:
            return call(0)

        async def outer(_: Any) -> Any:
            return call(1)

        await self.run(one).over()
        tasks = [self.task(lambda: _run(other())), self.run(outer, timeout=1.5)]
        found.endings = [await it.over(2.5) for it in tasks]
        await _sleep(_SETTLES)

    def judge(self, found: "OnLoop.Found", judged: Judged) -> Iterator[Said]:
        step = "Look first, on the calling thread: does asyncio.get_running_loop() return a loop?"
        calls = zip(self.where, found.endings, found.refused, found.begun, strict=True)
        for where, ending, refused, begun in calls:
            if not refused:
                said = f"Called {where}, `run` {ending} instead of raising RuntimeError."
                more = {"conflict": "nested-loop", "timed": ending.overdue and not begun}
            elif begun:
                said = f"Called {where}, `run` raised RuntimeError, and `work` was begun all "
                said += "the same."
                more = {"conflict": "dropped-task"}
            else:
                continue
            yield broke(5, said, step, ending.place or found.run_at, **more)
            return
        yield Kept(5)


class Deadline(BridgeScene):
    """Work that waits for PostgreSQL for a minute, and needs a moment to clean up."""

    title, promises = "work that takes longer than its timeout", (6,)

    @dataclass(frozen=True, slots=True)
    class Found(Lines):
        """How the call ended, and what of its work was under way then."""

        ending: Ending
        cleaned: bool
        """Whether its clean-up was over when `run` was."""
        statements: int
        """Its statements that PostgreSQL was at a moment later."""

    async def meet(self, found: Any) -> None:
        cleaned = threading.Event()

        async def work(pool: Any) -> None:
            async with pool.acquire() as connection:
                try:
                    await connection.execute("select pg_sleep(60)")
                finally:
                    await _sleep(_CLEAN_UP)
                    cleaned.set()

        def call() -> None:
            try:
                self.bridge.run(work, timeout=TIMEOUT)
            finally:
                found.cleaned = cleaned.is_set()

        found.cleaned = False
        await self.run(one).over()
        found.ending = await self.task(call).over(LATE.limit)
        await _sleep(_SETTLES)
        left = await self.database.sessions(self.name)
        found.statements = sum("pg_sleep" in it.query and it.state == "active" for it in left)

    def judge(self, found: "Deadline.Found", judged: Judged) -> Iterator[Said]:
        ending, place, more = found.ending, found.ending.place or found.run_at, dict[str, Any]()
        said = f"`work` waited for PostgreSQL, with a timeout of {span(TIMEOUT)}: `run` {ending}"
        step = "Put asyncio.timeout(timeout) around `await work(pool)`, on the loop."
        if ending.overdue:
            said += "."
            more = {"measured": f"more than {span(ending.seconds)}", "budget": str(LATE)}
            more |= {"conflict": "missing-deadline", "timed": True}
        elif not ending.is_error("TimeoutError"):
            if judged.has(*_OF_LOOPS):
                return
            said += " instead of raising TimeoutError."
        elif not found.cleaned or found.statements:
            what = (
                "its statement was under way" if found.statements else "its clean-up was not over"
            )
            said += f", but {what}: the deadline ended the wait, and not the work."
            more["conflict"] = "dropped-task"
        else:
            yield Kept(6)
            return
        yield broke(6, said, step, place, **more)


class Closing(BridgeScene):
    """Closed while two calls are under way, again, and then called once more; a process without `close`."""

    title, promises = "closing while two calls are under way, and a process without `close`", (7,)

    @dataclass(frozen=True, slots=True)
    class Found(Lines):
        """What was left when `close` had returned, and what became of a process."""

        closings: list[tuple[str, Ending]]
        """When it was closed, and how that ended."""
        calls: list[Ending]
        under_way: int
        """Calls that were under way when `close` had returned."""
        late: list[tuple[str, Ending]]
        """When a later call came, and how it ended."""
        left: dict[str, int]
        """How many of each kind stayed."""
        called: bool
        """Whether the process made its call."""
        ended: bool

    async def meet(self, found: Any) -> None:
        begun, loops, released = list[str](), set[Any](), threading.Event()

        async def work(pool: Any) -> None:
            loops.add(_loop_of())
            await one(pool)
            begun.append("")
            while not released.is_set():
                await _sleep(_LOOK)
            begun.pop()

        def close() -> None:
            try:
                self.bridge.close()
            finally:
                found.under_way = len(begun)

        found.under_way = 0
        unused = self.lab.Bridge(await self.address(), size=SIZE)
        closings = {"before any call": await self.task(unused.close).over()}
        tasks = [self.run(work) for _ in range(2)]
        await self.until(lambda: len(begun) == len(tasks), 2.0)
        closing = self.task(close)
        await _sleep(_SETTLES)
        late = self.run(one)
        await _wait([late.task], timeout=_SETTLES)
        released.set()
        found.calls = await base.all_over(tasks)
        closings["while two calls were under way"] = await closing.over()
        found.late = [("while it closed", await late.over(1.0))]
        found.late.append(("after it had closed", await self.run(one).over(1.0)))
        closings["again"] = await self.task(self.bridge.close).over(1.0)
        found.closings = [*closings.items()]
        found.left = await self._left(loops)
        process = await self.stage.shared(base.program, self.lab, self.stage)
        assert process.stdout is not None
        found.called = await _within(_PATIENCE, process.stdout.readline()) == b"done\n"
        found.ended = await _within(ENDS.limit, process.wait()) is not None

    async def _left(self, loops: set[Any]) -> dict[str, int]:
        """Return what the bridge has left, after the time that it has."""

        async def sessions() -> int:
            return len(await self.database.sessions(self.name))

        connections = await self.stage.until(sessions, lambda left: not left, GONE)
        await self.until(lambda: not self.threads(), GONE)
        still_open = sum(not it.is_closed() for it in loops)
        return {"connection": connections, "thread": len(self.threads()), "open loop": still_open}

    def judge(self, found: "Closing.Found", judged: Judged) -> Iterator[Said]:
        place, more = found.close_at, dict[str, Any]()
        failed = next((it for it in found.closings if not it[1].returned), None)
        cut = next((it for it in found.calls if not it.returned), None)
        late = next((it for it in found.late if not it[1].is_error("RuntimeError")), None)
        left = next(((what, many) for what, many in found.left.items() if many), None)
        step = "Wait for the calls under way, close the pool on its loop, stop the loop, join its thread."
        if failed is not None:
            said, more["timed"] = f"`close()`, called {failed[0]}, {failed[1]}.", failed[1].overdue
            place = failed[1].place or place
        elif cut is not None and judged.has(*_OF_LOOPS):
            return
        elif cut is not None or found.under_way:
            said = "`close()` was called while two calls were under way: "
            said += f"one {cut}." if cut else f"it returned before {found.under_way} of them."
            more["conflict"] = "abrupt-shutdown"
        elif late is not None:
            said = f"A call that came {late[0]} {late[1]} instead of raising RuntimeError."
            step = "Set a flag when `close` begins, and look at it in `run`, both under one lock."
            place, more["timed"] = late[1].place or found.run_at, late[1].overdue
        elif left is not None:
            said = f"When `close()` had returned, {count(left[1], left[0])} stayed."
            more = {"conflict": "unclosed-resource", **none_of(left[1], left[0])}
        elif found.called and not found.ended:
            said = "A process called `run` once and came to its end without `close()`. It was still there "
            said += f"{span(ENDS.limit)} later: a thread keeps it alive."
            step, place = "Start the loop's thread with daemon=True.", found.run_at
            more = {"measured": f"more than {span(ENDS.limit)}", "budget": str(ENDS)}
            more |= {"conflict": "unclosed-resource", "timed": True}
        else:
            if found.called:
                yield Kept(7)
            return
        yield broke(7, said, step, place, **more)


async def _within(seconds: float, answer: Any) -> Any:
    """Return what this gives within so many seconds, else None."""
    asked = asyncio.ensure_future(answer)
    await _wait([asked], timeout=seconds)
    if not asked.done():
        asked.cancel()
        return None
    return asked.result()


def praise(judged: Judged) -> str:
    """Return the sentence of a pass, with its best numbers."""
    many = judged.expect(Many)
    return (
        f"{many.first.calls + many.later.calls} calls by {THREADS} threads of a Celery worker shared one loop and "
        f"{count(many.opened, 'connection')}; {Answers.many} ran at once. A timeout ended work and statement, and "
        f"nothing was left when the bridge had closed."
    )


CHECK = Check(
    scenes=(Opening(), Many(), Answers(), OnLoop(), Deadline(), Closing()),
    praise=praise,
    leaves_nothing=7,
    leftovers_judged=("threads", "calls"),  # Closing judges them
)

FIGURES = (Figure("connections_opened", "Its calls opened", "connections", SIZE),)
