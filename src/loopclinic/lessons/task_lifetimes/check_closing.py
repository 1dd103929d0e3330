"""The check of lab 11, closing: jobs under way and new ones; and what its scenes watch a Jobs with."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.core import Budget, Call, Calls, Ending, Judged, Kept, Place, Said, Scene
from loopclinic.lessons.core.call import now
from loopclinic.lessons.core.stacks import defined_at, stands_at
from loopclinic.lessons.core.verdicts import broke, counted
from loopclinic.probe import garbage
from loopclinic.units import count, span

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

LATE = Budget(
    1.1,
    "x the time due",
    "In virtual time a right answer is exact; one that waits for the grace, or for one job after the other, "
    "takes three to five times as long.",
)
JOBS, GRACE = 5, 10.0
IN_TIME, TOO_LONG, CLEAN_UP = 3.0, 500.0, 2.0
"""Seconds that jobs need after the call of close, and for their clean-up when they are cancelled."""
SLACK = 0.1
"""Seconds that anything may take besides."""
PATIENCE = 300.0
"""Virtual seconds after which a call of close is given up."""

_sleep = asyncio.sleep
Job = Callable[[], Awaitable[object]]


@dataclass
class Watched:
    """A Jobs of the lab, what asyncio reported meanwhile, and where the lab made its first task."""

    jobs: Any = None
    messages: list[str] = field(default_factory=list)
    made: Place | None = None

    def start(self, name: str, job: Job) -> str:
        """Start a job and return what `start` did, in words."""
        try:
            value = self.jobs.start(name, job)
        except Exception as error:
            return f"raised {type(error).__name__}: {error}".rstrip(": ")
        plain = value is None or isinstance(value, bool)
        return f"returned {value}" if plain else f"returned a {type(value).__name__}"

    async def close(self, grace: float = GRACE) -> Ending:
        """Close, and return how that ended."""
        return await Call(lambda: self.jobs.close(grace)).settled(PATIENCE)

    def reported(self, words: str) -> str:
        """Return the first message that has these words, or nothing."""
        return next((one for one in self.messages if words in one), "")


@asynccontextmanager
async def watch_jobs(
    lab: ModuleType, on_error: Callable[[str, BaseException], object] = lambda _name, _error: None
) -> AsyncIterator[Watched]:
    """Give a Jobs, and collect what asyncio reports; at the end, cancel the tasks that are left."""
    loop, others = asyncio.get_running_loop(), asyncio.all_tasks()
    found, handler = Watched(), loop.get_exception_handler()

    def make(loop: Any, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
        found.made = found.made or stands_at(sys._getframe(1))  # noqa: SLF001 - documented
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_exception_handler(lambda _, context: found.messages.append(context["message"]))
    loop.set_task_factory(make)
    try:
        found.jobs = lab.Jobs(on_error)
        yield found
    finally:
        loop.set_task_factory(None)
        for _ in range(3):  # one that is cancelled may start another
            if left := asyncio.all_tasks() - others:
                for task in left:
                    task.cancel()
                await asyncio.wait(left, timeout=PATIENCE)
        found.jobs = None
        garbage.collect()
        loop.set_exception_handler(handler)


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of `JOBS` jobs that were under way when close was called."""

    endings: tuple[Ending, ...]
    """Of each call of close."""
    finished: int
    """Jobs that had ended by themselves when the first call was over."""
    cancelled: float | None
    """Seconds from the first call until the last job was cancelled; None if none was."""
    cut: int
    """Jobs whose clean-up was not done."""
    running: int
    """The most jobs that had not ended when a call returned."""


async def _close(lab: ModuleType, seconds: float, *after: float) -> Closed:
    """Close while jobs need so many seconds more; close again `after` seconds."""
    running, cancelled = set[int](), list[float]()
    finished = cleaned = 0
    left: list[tuple[int, int]] = []

    async def job(number: int) -> None:
        nonlocal finished, cleaned
        running.add(number)
        try:
            await _sleep(seconds + SLACK)
            finished += 1
        except asyncio.CancelledError:
            cancelled.append(now())
            # Unlike times: a wait for the first of them leaves the others.
            await _sleep(CLEAN_UP * (1 + number) / JOBS)
            cleaned += 1
            raise
        finally:
            running.discard(number)

    async def close(late: float) -> None:
        await _sleep(late)
        try:
            await watched.jobs.close(GRACE)
        finally:
            left.append((len(running), finished))

    async with watch_jobs(lab) as watched:
        for number in range(JOBS):
            watched.start(f"job {number}", partial(job, number))
        watched.start("ends sooner", partial(_sleep, min(seconds, GRACE / 2)))
        await _sleep(SLACK)
        began = now()
        calls = Calls({late: Call(partial(close, late)) for late in (0.0, *after)})
        await _sleep(1.0)
        calls.look()
        endings = await calls.settled(PATIENCE)
        await _sleep(CLEAN_UP)
        # Of a call that did not end, the jobs were cancelled when it was given up.
        last = max((at - began for at in cancelled if at - began < PATIENCE), default=None)
        cut = len(cancelled) - cleaned
    return Closed(tuple(endings), left[0][1], last, cut, max(one for one, _ in left))


def _late(seconds: float) -> float:
    """Return after how many seconds what is due after `seconds` is late."""
    return LATE.limit * seconds + SLACK


def _how(ending: Ending) -> str:
    return f"returned after {span(ending.seconds)}" if ending.returned else str(ending)


class Closing(Scene["Closing.Found"]):
    """Closing with jobs that end in time, that do not, without any, and three times."""

    title, promises = "closing while jobs are under way", (4, 5)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of the jobs, and of a close without any."""

        in_time: Closed
        too_long: Closed
        thrice: Closed
        empty: Ending
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        in_time, too_long = await _close(lab, IN_TIME), await _close(lab, TOO_LONG)
        async with watch_jobs(lab) as watched:
            empty = await watched.close()
        thrice = await _close(lab, TOO_LONG, 1.0, 100.0)
        return self.Found(in_time, too_long, thrice, empty, defined_at(lab.Jobs.close))

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        """Judge the grace; the end only where something was cancelled, and not all of it at once."""
        (ending,), empty, long = found.in_time.endings, found.empty, found.too_long
        close, place, lost = (
            f"close({GRACE:g})",
            ending.place or found.line,
            JOBS - found.in_time.finished,
        )
        wait = "Wait by `asyncio.wait(tasks, timeout=grace)`: it ends with the last task, and cancels none."
        if lost:
            at = found.in_time.cancelled
            how = (
                f"cancelled after {span(at)}"
                if at is not None
                else "still under way when it returned"
            )
            said = f"{close} was called with {JOBS} jobs under way that need {span(IN_TIME)} more: {lost} of "
            said += f"them were {how}."
            more = counted(JOBS - lost, JOBS, "finished job")
            yield broke(4, said, wait, place, conflict="abrupt-shutdown", **more)
        elif not ending.returned or ending.seconds > _late(IN_TIME):
            said = f"The last job under way ended {span(IN_TIME)} after the call of {close}; close {_how(ending)}."
            more = {"measured": span(ending.seconds), "budget": span(_late(IN_TIME))}
            yield broke(4, said, wait, place, **more)
        elif long.cancelled is None or long.cancelled > _late(GRACE):
            how = (
                "never cancelled"
                if long.cancelled is None
                else f"cancelled after {span(long.cancelled)}"
            )
            said = f"{close} was called with jobs under way that need {span(TOO_LONG)} more. The last was {how}."
            step = "Give all jobs together one grace, then cancel those that still run."
            place = long.endings[0].place or found.line
            more = {"measured": how, "budget": span(_late(GRACE))}
            yield broke(4, said, step, place, conflict="missing-deadline", **more)
        elif not empty.returned or empty.seconds > SLACK:
            said = f"{close} without any job under way {_how(empty)}".rstrip(".") + "."
            step = "Return at once when there is nothing to wait for."
            yield broke(4, said, step, empty.place or found.line)
        else:
            yield Kept(4)
        if not lost and long.cancelled is not None:
            yield (
                self._end(found, long, "close")
                or self._end(found, found.thrice, "one of three calls of close")
                or Kept(5)
            )

    def _end(self, found: Found, closed: Closed, what: str) -> Said | None:
        """Return why not all had ended when a call of close returned, if so."""
        raised = found.empty.message  # of a close without any job, as the last one is: said before
        odd = (one for one in closed.endings if not one.returned)
        bad = next((one for one in odd if not one.raised or one.message != raised), None)
        place = next((one.place for one in closed.endings if one.place), None) or found.line
        if bad is not None and (bad.overdue or not closed.cut):
            ended = " and had ended" * (not closed.running)
            said = f"The jobs were cancelled{ended}, and {what} {bad}."
            step = "Let every call of close wait for the same jobs until they have ended."
            if not ended:
                step = "Let CancelledError out of what runs a job, and begin none again."
            conflict = "missing-deadline" if bad.overdue else None
            return broke(5, said, step, bad.place or place, conflict=conflict)
        if closed.running:
            said = f"When {what} returned, {count(closed.running, 'job')} had not ended: "
            said += f"clean-ups take up to {span(CLEAN_UP)} after the cancel."
            step = "After cancelling, wait for the tasks once more, in every call of close."
            more = counted(closed.running, 0, "running job")
            return broke(5, said, step, place, conflict="dropped-task", **more)
        if closed.cut:
            said = f"{closed.cut} of {JOBS} clean-ups ended early: a second cancel came while they awaited "
            said += "something."
            step = "Cancel each task once: wait for it by asyncio.wait, which cancels nothing, also in a later call."
            more = counted(JOBS - closed.cut, JOBS, "whole clean-up")
            return broke(5, said, step, place, conflict="abrupt-shutdown", **more)
        return None


class Refused(Scene["Refused.Found"]):
    """Jobs that are started while close waits: by others, by a job, by a clean-up, and afterwards."""

    title, promises = "starting jobs while close waits", (6,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """Who asked, and what `start` did; those for whom the factory was called."""

        asked: tuple[tuple[str, str], ...]
        called: tuple[str, ...]
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        asked: list[tuple[str, str]] = []
        called: list[str] = []

        def ask(who: str) -> None:
            def factory() -> Awaitable[None]:
                called.append(who)
                return _sleep(TOO_LONG)

            asked.append((who, watched.start(who, factory)))

        async def job() -> None:
            await _sleep(2)
            ask("a job under way")

        async def hangs() -> None:
            try:
                await _sleep(TOO_LONG)
            finally:
                ask("the clean-up of a cancelled job")

        async with watch_jobs(lab) as watched:
            watched.start("job", job)
            watched.start("hangs", hangs)
            await _sleep(1)
            call = Call(lambda: watched.jobs.close(GRACE))
            await _sleep(SLACK)
            ask("somebody else")
            await call.settled(PATIENCE)
            ask("somebody who came after its return")
            await _sleep(SLACK)
        async with watch_jobs(lab) as watched:
            await watched.close()
            ask("somebody where no job was under way")
            await _sleep(SLACK)
        return self.Found(tuple(asked), tuple(called), defined_at(lab.Jobs.start))

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        """Judge the first that was not refused."""
        bad = ((w, did) for w, did in found.asked if did != "returned False" or w in found.called)
        who, did = next(bad, ("", ""))
        if not who:
            yield Kept(6)
            return
        was = "was" if who in found.called else "was not"
        said = f"After the call of close, {who} asked for a job: `start` {did}, and its factory {was} called."
        step = "Set a flag as the first step of close; where it is set, start returns False and does nothing else."
        late = len(found.called)
        more = counted(late, 0, "late job") | {"conflict": "dropped-task"} if late else {}
        yield broke(6, said, step, found.line, **more)
