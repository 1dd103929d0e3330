"""The check of lab 11: jobs that nobody holds, errors, closing, a handler that raises; in virtual time."""

import asyncio
import itertools
import sys
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.core import Budget, Check, Ending, Judged, Kept, Place, Said, Scene
from loopclinic.lessons.core.call import now
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.stacks import defined_at, raised_at
from loopclinic.lessons.core.verdicts import broke, counted
from loopclinic.lessons.task_lifetimes.check_closing import (
    GRACE,
    JOBS,
    LATE,
    SLACK,
    TOO_LONG,
    Closing,
    Refused,
    watch_jobs,
)
from loopclinic.probe import garbage
from loopclinic.units import count, span

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

_sleep = asyncio.sleep

KEEPS = Budget(
    0.5,
    "blocks a job",
    "Blocks of memory. A right answer keeps none of a job that has ended; the least is its name, one block.",
)

FORGOTTEN, NAMES = 200, 20
"""Jobs that only their Jobs holds, and how many names they share."""
TURNS, MANY = 4, 2500
"""Jobs of which memory is counted, in turns."""


class Forgotten(Scene["Forgotten.Found"]):
    """Jobs that wait for something which nobody but themselves holds, and the garbage collector."""

    title, promises = f"{FORGOTTEN} jobs that nobody else holds, and the garbage collector", (1,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How many jobs vanished and came to their end; what `start` did, if it was odd."""

        vanished: int
        finished: int
        odd: str
        reported: str
        """asyncio's own message."""
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        stage.probe.stop()  # while it looks who waits for a long step, it holds tasks
        waits: list[weakref.ref[asyncio.Future[None]]] = []
        ends: list[str] = []

        async def waiting() -> None:
            # What it waits for is referred to by its own frame only, as a reply that never comes is.
            future = asyncio.get_running_loop().create_future()
            waits.append(weakref.ref(future))
            await future

        async def job() -> None:
            try:
                await waiting()
                await _sleep(1)
                await waiting()
                ends.append("finished")
            except GeneratorExit:  # thrown in when the collector frees the task
                ends.append("vanished")
                raise

        async with watch_jobs(lab) as watched:
            did, others = set(), len(asyncio.all_tasks())
            for number in range(FORGOTTEN):
                did.add(watched.start(f"job {number % NAMES}", job))
                if stage.rng.random() < 0.2:
                    await _sleep(0)
            ready = asyncio.get_running_loop().create_future()
            ready.set_result(None)
            did.add(watched.start("awaits a future", lambda: ready))
            await _sleep(1)
            stage.vital(tasks_a_job=(len(asyncio.all_tasks()) - others) / FORGOTTEN)
            for _ in range(2):
                garbage.collect()
                alive = [future for wait in waits if (future := wait()) is not None]
                waits.clear()
                while alive:
                    if not (future := alive.pop()).done():
                        future.set_result(None)
                    del future
                await _sleep(2)
            found = (ends.count("vanished"), ends.count("finished"))
        odd = next(iter(did - {"returned True"}), "")
        line = watched.made or defined_at(lab.Jobs.start)
        return self.Found(*found, odd, watched.reported("destroyed"), line)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        told = f'asyncio reported "{found.reported}"' if found.reported else "nothing was reported"
        if found.vanished:
            said = f"Of {FORGOTTEN} jobs that waited for something only they refer to, {found.vanished} vanished "
            said += f"when garbage was collected, since nothing held their tasks; {told}."
            step = "Hold each task in a set that it leaves by a done callback: the loop holds tasks only weakly."
            more = counted(found.vanished, 0, "vanished job")
        elif found.finished < FORGOTTEN:
            said = f"{found.finished} of {FORGOTTEN} jobs came to their end. They shared {NAMES} names; the lab "
            said += "itself ended the others."
            step = "Run every job to its end, also one whose name another job has."
            more = counted(found.finished, FORGOTTEN, "finished job")
        elif found.odd:
            said = f"`start` {found.odd} for a job that was started."
            step = "Await whatever the factory returns, in a coroutine of your own, and "
            step += "return True."
            yield broke(1, said, step, found.line)
            return
        else:
            yield Kept(1)
            return
        yield broke(1, said, step, found.line, conflict="dropped-task", **more)


@dataclass(frozen=True, slots=True)
class Told:
    """One error as `on_error` got it, and how many seconds after the job had raised it."""

    name: str
    error: str
    after: float = 0.0


class Errors(Scene["Errors.Found"]):
    """Jobs that fail at once, later, while closing and in their clean-up; and cancelled ones."""

    title, promises = "jobs that fail: at once, later, while closing", (2,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """The errors that jobs raised, and what `on_error` was told."""

        raised: tuple[Told, ...]
        told: tuple[Told, ...]
        reported: str
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        raised: list[tuple[str, BaseException, float]] = []
        told: list[Told] = []

        def on_error(name: str, error: BaseException) -> None:
            after = next((now() - at for _, one, at in raised if one is error), 0.0)
            told.append(Told(str(name), _words(error), after))

        async def fails(name: str, seconds: float, kind: type[Exception]) -> None:
            try:
                if seconds:
                    await _sleep(seconds)
            finally:
                raised.append((name, kind(name), now()))
                raise raised[-1][1]

        async def cancelled() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await _sleep(1)

        async with watch_jobs(lab, on_error) as watched:
            for name, seconds, kind in (
                ("fails at once", 0, ValueError),
                ("fails later", 2, LookupError),
                ("fails later", 2, LookupError),
                ("times out", 1, TimeoutError),
                ("fails while closing", 4, OSError),
                ("fails in its clean-up", TOO_LONG, KeyError),
            ):
                watched.start(name, partial(fails, name, seconds, kind))
            watched.start("is cancelled", cancelled)
            watched.start("returns", partial(_sleep, 1))
            await _sleep(3)
            garbage.collect()
            await watched.close(5.0)
            await _sleep(2)  # what was not waited for fails now
        # The last of the loop's own messages comes with the last reference, at the end of `watch_jobs`.
        line = raised_at(*(error for _, error, _ in raised)) or watched.made
        known = tuple(Told(name, _words(error)) for name, error, _ in raised)
        for _, error, _ in raised:
            error.__traceback__ = None
        reported = watched.reported("never retrieved")
        return self.Found(known, tuple(told), reported, line or defined_at(lab.Jobs.start))

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        """Judge what is missing, then what is too much, then what is late."""
        expected = sorted((one.name, one.error) for one in found.raised)
        got = sorted((one.name, one.error) for one in found.told)
        raised, told = (Counter(one.error for one in them) for them in (found.raised, found.told))
        missing = raised - told
        late = max(found.told, key=lambda one: one.after, default=None)
        if missing:
            first = next(one for one in found.raised if missing[one.error])
            said = f"{missing.total()} of {len(expected)} errors never reached on_error. The first is the "
            said += f"{first.error.partition(':')[0]} of the job that {first.name}. "
            log = f'asyncio logged "{found.reported}" when the task was freed.'
            said += log if found.reported else "Nothing was logged either."
            step = "Catch what a job raises in the coroutine that runs it, also while closing, and tell it there."
            more = counted(len(expected) - missing.total(), len(expected), "error")
            yield broke(2, said, step, found.line, conflict="unseen-task-error", **more)
        elif got != expected:
            name, error = next(one for one in got if got.count(one) != expected.count(one))
            due, times = int((name, error) in expected), got.count((name, error))
            said = f'on_error was called with "{name}" and {error}: {count(times, "time")} instead of {due}.'
            step = "Call on_error in one place, once for each error, with the name of its own job; never for a "
            step += "job that was cancelled."
            yield broke(2, said, step, found.line, **counted(times, due, "call"))
        elif late is not None and late.after > SLACK:
            said = f"The job that {late.name} had raised {late.error.partition(':')[0]} {span(late.after)} "
            said += "before on_error was called."
            step = "Call on_error when the job ends, not when somebody looks at its task later."
            more = {"measured": span(late.after), "budget": span(SLACK)}
            yield broke(2, said, step, found.line, conflict="unseen-task-error", **more)
        else:
            yield Kept(2)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


class Handler(Scene["Handler.Found"]):
    """An `on_error` that raises at its first two calls, while other jobs are under way."""

    title, promises = "an on_error that raises", (3,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """Calls of `on_error`; of `JOBS` sound jobs those that ended well; the close."""

        told: int
        finished: int
        closing: Ending
        refused: str
        """What `start` raised after the handler had, or nothing."""
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        told, finished, errors = list[str](), list[float](), list[BaseException]()

        def on_error(name: str, _: BaseException) -> None:
            told.append(name)
            if len(told) <= 2:
                errors.append(RuntimeError("on_error fails"))
                raise errors[-1]

        async def fails(seconds: float) -> None:
            await _sleep(seconds)
            raise ValueError("a job fails")

        async def ends(seconds: float) -> None:
            await _sleep(seconds)
            finished.append(seconds)

        async with watch_jobs(lab, on_error) as watched:
            for number, seconds in enumerate((1, 1, 2, 3.5)):
                watched.start(f"failing {number}", partial(fails, seconds))
            for number in range(JOBS - 1):
                watched.start(f"sound {number}", partial(ends, 3))
            await _sleep(1.5)
            did = watched.start("sound last", partial(ends, 1))
            watched.start("while closing", partial(ends, 3.5))
            await _sleep(2.5)
            numbers = len(told), len(finished)
            closing = await watched.close()
            line = raised_at(*errors) or watched.made or defined_at(lab.Jobs.start)
        for error in errors:
            error.__traceback__ = None
        return self.Found(*numbers, closing, did * did.startswith("raised"), line)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        """Judge the sound jobs, later errors, the close; only where errors are told, and close is sound."""
        if (judged.breaks(2) and not found.told) or (judged.breaks(1) and found.finished < JOBS):
            return
        lost, closing, place = JOBS - found.finished, found.closing, found.line
        said, conflict, more = "", "unisolated-failure", dict[str, Any]()
        if lost or found.refused:
            said = f"`start` {found.refused} for the next job."
            said = said if found.refused else f"{lost} of {JOBS} other jobs did not end well."
            more = counted(lost, 0, "lost job")
        elif found.told < 4 and not judged.breaks(2):
            said, conflict = f"{found.told} of 4 errors reached it.", "unseen-task-error"
            more = counted(found.told, 4, "call")
        elif not closing.returned or closing.seconds > LATE.limit + SLACK:
            if judged.breaks(4, 5):
                return
            how = f"took {span(closing.seconds)}" if closing.returned else str(closing)
            said = f"The last job ended 1.0 s after the call of close, which {how}."
            place = closing.place or place
        if not said:
            yield Kept(3)
            return
        said = f"on_error raises an error at its first two calls. {said}"
        step = "Call on_error in a try of its own, and log what it raises."
        yield broke(3, said, step, place, conflict=conflict, **more)


class Remembered(Scene["Remembered.Found"]):
    """Thousands of jobs that end, some of them by an error."""

    title, promises = f"memory after {TURNS * MANY:,} jobs", (7,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """Blocks of memory that stay for each job, the least of the turns."""

        kept: float
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        blocks = []

        async def job(number: int) -> None:
            await _sleep(0.01)
            if number % 10 == 0:
                raise ValueError("a job fails")

        async with watch_jobs(lab) as watched:
            for turn in range(TURNS):
                for number in range(MANY):
                    watched.start(f"job {turn}/{number}", partial(job, number))
                    if number % 100 == 0:
                        await _sleep(0.1)
                await _sleep(1)
                watched.messages.clear()
                garbage.collect()
                blocks.append(sys.getallocatedblocks())
        kept = min(after - before for before, after in itertools.pairwise(blocks)) / MANY
        return self.Found(max(0.0, kept), watched.made or defined_at(lab.Jobs.start))

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        if found.kept <= KEEPS.limit:
            yield Kept(7)
            return
        said = f"After every {MANY:,} jobs that had ended, {found.kept:.1f} blocks of memory more were in use "
        said += "for each of them."
        step = "Let go of a job when it ends: of its task, its name and its error."
        more = {"measured": f"{found.kept:.1f} blocks a job", "budget": str(KEEPS)}
        yield broke(7, said, step, found.line, **more)


def praise(judged: Judged) -> str:
    """Return how many jobs stayed alive, how many errors were told, and how long closing took."""
    (closing,) = judged.expect(Closing).too_long.endings
    return (
        f"{judged.expect(Forgotten).finished} jobs outlived the garbage collector, "
        f"{len(judged.expect(Errors).told)} errors were told, and close({GRACE:g}) returned after "
        f"{closing.seconds:.1f} s with nothing left."
    )


CHECK = Check(
    scenes=(Forgotten(), Errors(), Closing(), Refused(), Handler(), Remembered()),
    praise=praise,
    virtual=True,
    explains_tasks=("dropped-task", "abrupt-shutdown"),
)

FIGURES = (Figure("tasks_a_job", "A job under way takes", "tasks", 1.0),)
