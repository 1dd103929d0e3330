"""Experiments of notebook 08: the GIL's share of a computation, a storm of logins on each rung, a benchmark."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

import psutil

from loopclinic.drawing.charts import COLORS, Bar, bars
from loopclinic.drawing.tables import Drawing, Drawn, code, span, table
from loopclinic.lessons.cpu_bound.ladder import CORES, COSTS, Pools, hashed, on_loop, strength
from loopclinic.lessons.story.other_tools import Opinion, debug_run, linter, of_scope, opinions
from loopclinic.lessons.story.race import Column, Race, Result
from loopclinic.load.variant import name_of
from loopclinic.probe import Probe, Stall
from loopclinic.probe.schedule import Schedule

Way = Callable[..., Coroutine[Any, Any, Any]]
"""`await way(pools, work, *values)`."""

LOGINS, SIGN_UPS = 40, 10
"""Of a storm: hashes, and checks of strength."""
PASSWORD = "correct horse battery"  # noqa: S105 - nobody's
_TICK = 0.001
_OTHERS = 0.02
"""Seconds between calls of somebody else who needs the default executor."""


@dataclass(frozen=True, repr=False)
class Storm(Drawn):
    """What a storm of logins and sign-ups did; times in seconds."""

    name: str
    logins: int
    sign_ups: int
    seconds: float
    late: float
    """How late the loop was, on average, for an event at a random moment."""
    other: float
    """The longest that somebody else waited for the loop and a thread of the default executor."""
    worst: Stall | None
    """The longest stall of the loop."""

    @property
    def rate(self) -> float:
        """Computations a second."""
        return (self.logins + self.sign_ups) / self.seconds

    def __str__(self) -> str:
        what = f"{self.logins} logins, {self.sign_ups} sign-ups"
        return (
            f"{self.name}, {what}: {self.rate:.0f} computations a second, the loop {lateness(self.late)} late, "
            f"others waited up to {span(self.other)}."
        )

    def drawing(self) -> Drawing:
        """Return the sentence alone."""
        return Drawing(f"<p>{self}</p>", str(self))


def lateness(seconds: float) -> str:
    """Return a lateness in words: tenths of a millisecond count."""
    return f"{1000 * seconds:.1f} ms" if seconds < 0.01 else span(seconds)


async def storm(
    way: Way, *, logins: int = LOGINS, sign_ups: int = SIGN_UPS, watched: bool = True
) -> Storm:
    """Let that many log in and sign up at once on the running loop, and watch how late it is.

    To watch, a tick each millisecond, takes a tenth of a core: `watched=False` gives the rate without it.
    """
    gaps, waits = [0.0], [0.0]

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_TICK)
            gaps.append(max(0.0, time.perf_counter() - began - _TICK))

    async def other() -> None:
        due = time.perf_counter()
        while True:
            await asyncio.to_thread(int)
            waits.append(time.perf_counter() - due)
            due = time.perf_counter() + _OTHERS
            await asyncio.sleep(_OTHERS)

    async with Pools() as pools:
        # Pools start their workers when there is work: all of them, before the clock runs.
        works = [hashed] * logins + [strength] * sign_ups
        await asyncio.gather(*(way(pools, one, PASSWORD) for one in {*works} for _ in range(CORES)))
        with Probe() if watched else nullcontext() as probe:
            beside = [asyncio.create_task(one()) for one in (tick, other) if watched]
            await asyncio.sleep(2 * _OTHERS)
            began, name = time.perf_counter(), name_of(way)
            await asyncio.gather(*(way(pools, work, PASSWORD) for work in works))
            seconds = time.perf_counter() - began
            await asyncio.sleep(2 * _TICK)
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        stalls = probe.stalls if probe else ()
        worst = max(stalls, key=lambda one: one.seconds, default=None)
    late = sum(gap**2 for gap in gaps) / (2 * seconds)
    return Storm(name, logins, sign_ups, seconds, late, max(waits), worst)


# Who has the GIL.


def gil_share(work: Callable[..., Any], *values: Any) -> float | None:
    """Return the share of the GIL that a computation takes from another thread, 0 to 1.

    That thread wants to run all the time: where it neither runs nor waits for a processor, it waits for the
    GIL. Linux counts all three, so other programs change little. Elsewhere they do: None if they run.
    """

    def waited(*, computes: bool) -> float:
        """Return the share of its time for which that thread waits for the GIL."""
        runs, stop, schedule, found = threading.Event(), threading.Event(), Schedule(), [0.0]

        def others() -> float:
            """Return seconds so far in which it neither ran nor waited for a processor."""
            return -time.thread_time() - schedule.read().waited + time.perf_counter()

        def spin() -> None:
            schedule.follow(threading.get_native_id())
            before, ran = others(), time.thread_time()
            runs.set()
            while not stop.is_set():
                pass
            kept, ran = others() - before, time.thread_time() - ran
            found[0] = kept / (kept + ran)

        thread = threading.Thread(target=spin)
        thread.start()
        runs.wait()
        ends = time.perf_counter() + 0.1
        while time.perf_counter() < ends:
            if computes:
                work(*values)
            else:
                time.sleep(0.1)
        stop.set()
        thread.join()
        schedule.close()
        return max(0.0, found[0])

    if sys.platform != "linux" and waited(computes=False) > _BUSY:
        return None
    return median(waited(computes=True) for _ in range(3))


_BUSY = 0.1
"""Share of a thread's time, or of the processors, from which on other programs are told of."""
_ALL, _SHARED = 0.8, 0.25
"""Shares of the GIL: two threads of Python have half each."""


async def gil_shares(*works: tuple[Callable[..., Any], Any]) -> Drawing:
    """Measure the GIL's share of each `(function, argument)`, and say what follows for the loop."""
    rows = []
    for work, value in works:
        share = await asyncio.to_thread(gil_share, work, value)
        follows = "a thread cures it, until the cores are full"
        if share is None:
            follows = "other programs have the processors: measure again"
        elif share > _ALL:
            follows = "in a thread it stops the loop all the same: a process"
        elif share > _SHARED:
            follows = "in a thread it takes turns with the loop, 5 ms each: a process"
        rows.append([code(work.__name__), "-" if share is None else f"{share:.0%}", follows])
    return table(["computation", "of the GIL", "so"], rows)


def late(*storms: Storm) -> Drawing:
    """Draw how late the loop was in each storm."""
    shown = [
        Bar(f"{one.name}, {'Python' if one.sign_ups else 'bcrypt'}", one.late, COLORS["refused"])
        for one in storms
    ]
    label = "how late the loop was for an event at a random moment, on average"
    svg = bars(shown, write=lateness, label=label)
    return Drawing(svg, "\n".join(map(str, storms)))


# Diagnosis and race.


async def computing() -> dict[str, Any]:
    """Sign up by the anti-pattern, in a process of its own."""
    return {"strength": await on_loop(Pools(), strength, PASSWORD * 8)}


async def diagnose(function: Callable[..., Any], run: Storm) -> Drawing:
    """Ask each tool about `function`, and about its `run`; about three seconds."""
    found, linted = await asyncio.gather(
        debug_run(computing), linter(function, "-", "that a call computes")
    )
    return opinions(
        of_scope(run.worst, "whether a thread would help"),
        found.debug_mode("that something kept the loop", "which of the calls, and the GIL"),
        found.cpu_graph("whose loop waits"),
        linted,
        Opinion(
            *("the GIL's share", "a thread that runs beside it", "see above"),
            *("what a thread would cure", "how many cores there are"),
        ),
    )


def _alone(work: Callable[[str], Any]) -> float:
    """Return the seconds of a processor that a computation takes."""
    work(PASSWORD)
    began = time.thread_time()
    work(PASSWORD)
    return time.thread_time() - began


async def measure(way: Way, *, logins: int, sign_ups: int) -> Mapping[str, Any]:
    """Return the rate of a way, how late the loop was, and the bound: cores / seconds for each."""
    seconds = [await asyncio.to_thread(_alone, work) for work in (hashed, strength)]
    before, began = _others(), time.perf_counter()
    rate = (await storm(way, logins=logins, sign_ups=sign_ups, watched=False)).rate
    others = (_others() - before) / (time.perf_counter() - began) / (os.cpu_count() or 1)
    run = await storm(way, logins=logins, sign_ups=sign_ups)
    asked = (logins * seconds[0] + sign_ups * seconds[1]) / (logins + sign_ups)
    found = {"rate": rate, "late": run.late, "other": run.other, "bound": CORES / asked}
    return {**found, "others": others}


def _others() -> float:
    """Return the processor seconds that other programs have had; children of this one that run count as such."""
    machine, kinds = psutil.cpu_times(), ("user", "nice", "system", "steal")
    return sum(getattr(machine, one, 0.0) for one in kinds) - sum(os.times()[:4])


def _bound(found: Result) -> tuple[float, str]:
    bound = median(one["bound"] for runner in found.runners for one in runner.rounds)
    return bound, f"The bound is {CORES} cores / seconds of a computation on one."


def _sentence(found: Result) -> str:
    bound, first = _bound(found)[0], found.runners[0]
    best = max(found.runners[1:], key=lambda one: one.typical("rate"), default=first)
    late = best.typical("late") / first.typical("late")
    others = median(one["others"] for runner in found.runners for one in runner.rounds)
    busy = (
        f" Other programs had {others:.0%} of the processors: the bound is of all."
        if others > _BUSY
        else ""
    )
    return (
        f"{best.name} reaches {best.typical('rate') / bound:.0%} of the bound, and the loop is {late:.1%} as "
        f"late as with {first.name}.{busy}"
    )


_RACE = Race(
    measure,
    columns=(
        Column("Computations/s", "rate", spread=True),
        Column("Loop late", "late", lateness),
        Column("Others wait up to", "other", span),
    ),
    costs=COSTS,
    bound=_bound,
    good=lambda one: one.typical("late") < _CALM,
    sentence=_sentence,
)
_CALM = 0.001
"""Seconds: a turn of the GIL is five times as long."""


def race(*ways: Way, rounds: int = 3, progress: bool = True, **given: Any) -> Result:
    """Let each way meet the storm, in a process of its own, in turns; the first is compared with."""
    given = {"logins": LOGINS, "sign_ups": SIGN_UPS, **given}
    return _RACE(*ways, rounds=rounds, progress=progress, **given)
