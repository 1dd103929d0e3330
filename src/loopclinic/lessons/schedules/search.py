"""Search for races: plays a coroutine under hundreds of seeded latencies, shows the smallest failing one.

A schedule is the order in which tasks take their steps. Which one runs depends on how long each awaited
command takes, so a race shows now and then. Here each latency is drawn from a seed, in virtual time.
"""

import asyncio
import inspect
import re
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from loopclinic.drawing.tables import Cell, Drawing, Drawn, code, table
from loopclinic.lessons.core.shared_findings import Place
from loopclinic.lessons.core.stacks import line_at, raised_at, waits_at
from loopclinic.lessons.schedules.virtual_time import VirtualLoop, virtual_clocks

LATENCIES = (0.0, 0.0, 0.001, 0.001, 0.002, 0.005)
"""Seconds that are drawn from: often equal, so that tasks meet at one moment in either order."""
_ENDS = 1.0
"""Seconds in which a task that is cancelled has to end."""
_YEAR = 365 * 24 * 3600.0
_WORDS = 60
"""Characters of a step that are shown."""

# Kept from before a lab is imported, which may replace them.
_sleep, _wait = asyncio.sleep, asyncio.wait
_current_task, _all_tasks = asyncio.current_task, asyncio.all_tasks
_one_search = threading.Lock()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a collaborator: when it took effect, in which task's lane, and from which line."""

    at: float
    """Seconds since the schedule began."""
    lane: str
    what: str
    place: Place


@dataclass(frozen=True, slots=True)
class Played:
    """What happened in one schedule."""

    seed: int
    steps: tuple[Step, ...]
    seconds: float
    """Virtual time that it took."""
    error: str = ""
    """Why it is broken; empty if it is not."""
    place: Place | None = None
    """The line that raised it, or at which a task waited."""

    @property
    def lanes(self) -> tuple[str, ...]:
        """Names of the tasks that took steps, in the order of their first."""
        return tuple(dict.fromkeys(step.lane for step in self.steps))

    @property
    def size(self) -> tuple[int, int, float, int]:
        """What the smallest of several schedules is the least in: lanes, then steps."""
        return len(self.lanes), len(self.steps), self.seconds, self.seed


class Schedule:
    """One schedule, drawn from its seed: hand its `slow` collaborators to the code under test."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = Random(seed)  # noqa: S311 - replayable chance is the point
        self.steps: list[Step] = []
        self._names: dict[Any, str] = {}
        self._began = asyncio.get_running_loop().time()

    async def hop(self) -> None:
        """Wait as long as one way of a network takes in this schedule."""
        await _sleep(self.rng.choice(LATENCIES))

    def slow(self, collaborator: Any, name: str = "") -> Any:
        """Return a stand-in whose methods are async: each waits, does the method's work, waits again.

        The work of a method, sync or async, is a step of the task that awaits it. `collaborator` may be
        a function; `name` stands before the step's words.
        """
        return _Slow(self, collaborator, name)

    async def together(self, *coroutines: Awaitable[T]) -> list[T]:
        """Run these at once, each from a moment of its own, in a lane of its own; return the results.

        As with a TaskGroup, the others are cancelled when one raises; but its error comes out as it is.
        """

        async def late(one: Awaitable[T], seconds: float) -> T:
            await _sleep(seconds)
            return await one

        tasks = [
            asyncio.create_task(late(one, self.rng.choice(LATENCIES)), name=f"{number}. caller")
            for number, one in enumerate(coroutines, 1)
        ]
        try:
            await _wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            return [task.result() for task in tasks if task.done()]
        finally:
            await _end({*tasks})

    def note(self, what: str, place: Place | None = None) -> None:
        """Add a step to the running task's lane."""
        task = _current_task()
        name = task.get_name() if task else ""
        if re.fullmatch(r"Task-\d+", name):  # counted for the whole process, so no seed replays it
            name = self._names.setdefault(task, f"{len(self._names) + 1}. task")
        if place is None:
            frame = sys._getframe(1)  # noqa: SLF001 - documented
            place = line_at(frame.f_code.co_filename, frame.f_lineno)
        at = asyncio.get_running_loop().time() - self._began
        self.steps.append(Step(at, name, what, place))

    def played(self, error: str = "", place: Place | None = None) -> Played:
        """Return what has happened until now."""
        seconds = asyncio.get_running_loop().time() - self._began
        return Played(self.seed, tuple(self.steps), seconds, error, place)


class _Slow:
    """Stands in for a collaborator: its calls take a while, and are steps of a schedule."""

    def __init__(self, schedule: Schedule, behind: Any, name: str) -> None:
        self._schedule, self._behind, self._name = schedule, behind, name

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._behind, name)
        return _Slow(self._schedule, found, self._name + name) if callable(found) else found

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Return the command, to be awaited."""
        frame = sys._getframe(1)  # noqa: SLF001 - documented
        place = line_at(frame.f_code.co_filename, frame.f_lineno)
        return self._command(args, kwargs, place)

    async def _command(self, args: Any, kwargs: Any, place: Place) -> Any:
        schedule = self._schedule
        shown = ", ".join([*map(repr, args), *(f"{name}={one!r}" for name, one in kwargs.items())])
        name = self._name or getattr(self._behind, "__name__", "call")
        await schedule.hop()
        try:
            result = self._behind(*args, **kwargs)
            if inspect.isawaitable(result):
                result = await result
        except Exception as error:
            schedule.note(_short(f"{name}({shown}): {type(error).__name__}"), place)
            raise
        schedule.note(_short(f"{name}({shown})" + f" = {result!r}" * (result is not None)), place)
        await schedule.hop()
        return result


def _short(words: str) -> str:
    return words if len(words) <= _WORDS else words[: _WORDS - 3] + "..."


Play = Callable[[Schedule], Awaitable[Any]]
"""Plays one schedule; raises if it is broken, as `assert` does."""


async def played(play: Play, seed: int, *, patience: float = 3600.0) -> Played:
    """Play one schedule on the running loop, which is in virtual time; end the tasks that it leaves.

    It is broken if it raises, or is not done after `patience` virtual seconds.
    """
    schedule, others = Schedule(seed), _all_tasks()

    async def main() -> None:
        await play(schedule)

    task = asyncio.create_task(main(), name="main")
    try:
        await _wait([task], timeout=patience)
        if not task.done():
            waits = [(one.get_name(), waits_at(one)) for one in _all_tasks() - others]
            known = sorted((name, place) for name, place in waits if place and name != "main")
            lines = [f"{name} waits at {place.quoted}" for name, place in known]
            error = "; ".join([f"It was not done after {patience:g} s", *lines])
            return schedule.played(error, known[0][1] if known else None)
        if task.cancelled():
            return schedule.played("CancelledError")
        if (raised := task.exception()) is None:
            return schedule.played()
        words = f"{type(raised).__name__}: {raised}".removesuffix(": ")
        return schedule.played(words, raised_at(raised))
    finally:
        await _end(_all_tasks() - others)


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await _wait(tasks, timeout=_ENDS)
        for task in tasks:  # their errors are nobody's to see
            _ = task.done() and not task.cancelled() and task.exception()


@dataclass(frozen=True, repr=False)
class Schedules(Drawn):
    """What a search found: how many schedules break the code, and the smallest of them."""

    seeds: int
    """How many schedules were played."""
    broken: tuple[Played, ...]
    """Those that break it, the smallest first."""
    last: Played
    """The one that was played last: what a replay of a single seed shows."""

    @property
    def smallest(self) -> Played | None:
        """The one with the fewest lanes, and of these with the fewest steps; None if none is broken."""
        return self.broken[0] if self.broken else None

    def drawing(self) -> Drawing:
        """Draw a lane for each task, its steps from top to bottom in their order."""
        one = self.smallest
        said = f"{len(self.broken)} of {self.seeds} schedules break it."
        if one is None and self.seeds > 1:
            return Drawing.note(f"None of {self.seeds} schedules breaks it.")
        if one is None:
            one, said = self.last, f"Seed {self.last.seed} does not break it."
        else:
            said += f" The smallest, seed {one.seed}: {len(one.steps)} steps. {one.error}"
        lanes = one.lanes
        rows = [
            [
                f"{1000 * step.at:.0f} ms",
                *(code(step.what) if lane == step.lane else Cell("") for lane in lanes),
                code(step.place.code) + f" line {step.place.line}",
            ]
            for step in one.steps
        ]
        return table(["After", *lanes, "From"], rows, title=said)


def search_schedules(
    play: Play, seeds: int | Iterable[int] = 500, *, patience: float = 3600.0
) -> Schedules:
    """Play a coroutine function under seeded latencies and return the schedules that break it.

    `play(schedule)` hands stand-ins made by `schedule.slow(...)` to the code under test, starts calls by
    `await schedule.together(...)`, and raises (by `assert`) if the outcome is wrong. One that is not
    over after `patience` virtual seconds is broken, too. `seeds` is how many to play, or which:
    `search_schedules(play, [7])` replays one.

    It runs in a thread with a loop of its own, so a notebook can call it, and returns when it is done.
    There and in the threads of that loop's executors sleeps cost nothing, and `time` and `datetime`
    follow the loop; the rest of the process keeps its clocks.
    """
    numbers = range(seeds) if isinstance(seeds, int) else list(seeds)
    if not numbers:
        raise ValueError(
            "No seed to play: pass how many schedules, such as 500, or a list of seeds."
        )
    found, failed = list[Played](), list[BaseException]()
    running, over = list[asyncio.Task[Any]](), threading.Event()

    async def main() -> None:
        running.extend(_all_tasks())  # its own
        found.extend([await played(play, seed, patience=patience) for seed in numbers])

    def run() -> None:
        try:
            loop = VirtualLoop()
            with (
                virtual_clocks(loop, everywhere=False),
                # loopclinic: ignore[loop-per-call] a search has a loop, and a clock, of its own
                asyncio.Runner(loop_factory=lambda: loop) as runner,
            ):
                runner.run(main())
        except BaseException as error:
            failed.append(error)
        over.set()

    with _one_search:
        threading.Thread(target=run, name="loopclinic-schedules", daemon=True).start()
        try:
            over.wait()
        except BaseException:  # an interrupt: the next search needs the clocks that this one has
            with suppress(IndexError, RuntimeError):  # it has not begun, or is over
                running[0].get_loop().call_soon_threadsafe(running[0].cancel)
            over.wait(5)  # an interrupted join() takes a thread for ended, on Python 3.11
            raise
    if failed:
        raise failed[0]
    broken = tuple(sorted((one for one in found if one.error), key=lambda one: one.size))
    return Schedules(len(found), broken, found[-1])


def in_virtual_time(play: Callable[[Schedule], Awaitable[T]], seed: int = 0) -> T:
    """Play one schedule and return what `play` returned.

    Raises:
        RuntimeError: it raised; the message says what.
    """
    results: list[T] = []

    async def kept(schedule: Schedule) -> None:
        results.append(await play(schedule))

    error = search_schedules(kept, [seed], patience=_YEAR).last.error
    if error:
        raise RuntimeError(error)
    return results[0]
