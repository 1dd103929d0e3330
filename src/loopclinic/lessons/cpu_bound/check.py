"""Check of lab 08: five scenes that note where passwords are computed, how many at once, in which order."""

import itertools
import string
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from multiprocessing import active_children
from types import ModuleType
from typing import TYPE_CHECKING, Any

from loopclinic.lessons import core
from loopclinic.lessons.core import Budget, Call, Calls, Ending, Judged, Kept, Loop, Place, Said
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.stacks import defined_at, learners, line_at
from loopclinic.lessons.core.verdicts import blocked, broke, counted, swallowed
from loopclinic.lessons.cpu_bound import noted_passwords as noted
from loopclinic.units import count, span

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

LAG = Budget(0.5, "x the lag of the file as shipped", "In the same run. Right: below a tenth.")
IDLE = Budget(0.3, "of the workers' time", "In a storm. Right: 0.1; rounds of three: 0.5.")
OVERTAKEN = Budget(6, "later calls", "Twice the workers. Right: two; last come, first served: 12.")
CANCEL = Budget(0.5, "s", "A right answer takes milliseconds; one that waits for a result, 1 s.")
COMPUTED = Budget(8, "of 16 cancelled calls", "A pool takes up to four out of its queue early.")
STARTED = Budget(6, "workers", "For 12 calls. Two pools have 3 each; a pool for each call, 12.")
BLOCKED = Budget(
    0.3, "of the time", "While it closes. Right: 0.05; one that waits on the loop: 1.0."
)
_NONE_LEFT = "Do without max_tasks_per_child: a pool of Python 3.11 or 3.12 may end by it (CPython issue 115634)."
WORKERS = 3
"""Not the cores of a small machine, nor the threads of its default executor."""
_BURNS = 0.04
"""Seconds of a computation in pure Python."""
_BURNT = 9
"""Computations of three registrations and three logins."""
_PATIENCE = 5.0
"""Seconds for calls that take less than one, and the start of a pool."""
_SETTLES = 0.05
"""Seconds for calls to reach their queue, and for a computation to be noted as over."""


class Desk:
    """A lab's accounts, and the calls of a scene to them."""

    def __init__(self, lab: ModuleType, stage: "Stage", notes: str) -> None:
        loops = noted.loops_for(_BURNS)
        self.passwords = noted.NotedPasswords(str(stage.folder / notes), loops)
        self.lines = defined_at(lab.Accounts.register), defined_at(lab.Accounts.verify)
        self.accounts, self._stage = lab.Accounts(self.passwords, workers=WORKERS), stage

    def password(self, letter: str, length: int = 12) -> str:
        """Return a password that was not used before."""
        room = string.ascii_lowercase + string.digits
        return letter + "".join(self._stage.rng.choices(room, k=length - 1))

    def verify(self, name: str, password: str) -> Call:
        """Begin to verify a password."""
        return Call(lambda: self.accounts.verify(name, password), "verify")

    def register(self, name: str, password: str) -> Call:
        """Begin to register a name."""
        return Call(lambda: self.accounts.register(name, password), "register")

    def crowd(self, letters: str) -> Calls[str]:
        """Begin to verify a wrong password for each letter; return the calls by password."""
        found = map(self.password, letters)
        return Calls({one: self.verify("ann", one) for one in found})

    def computed(self, passwords: Collection[str]) -> list[noted.Computation]:
        """Return what was computed of these passwords so far."""
        return [one for one in self.passwords.computations() if one.password in passwords]

    async def begun(self, calls: Calls[str]) -> None:
        """Wait until as many of these calls are computed as can be at once, or all are over."""
        storm = self._stage.found(Storm)
        most = WORKERS if storm is None else min(storm.most, WORKERS)

        async def look() -> bool:
            return len(self.computed(calls)) >= most or all(one.done for one in calls.values())

        await self._stage.until(look, bool, _PATIENCE / 2)


@asynccontextmanager
async def _desk(lab: ModuleType, stage: "Stage") -> AsyncIterator[Desk]:
    yield Desk(lab, stage, "yours")  # the last scene closes it


def most_at_once(found: Sequence[noted.Computation]) -> int:
    """Return how many ran at once, at most."""
    steps = [(one.began, 1) for one in found] + [(one.over or inf, -1) for one in found]
    return max(itertools.accumulate(step for _, step in sorted(steps)), default=0)


def overtaken(found: Sequence[noted.Computation], arrived: Sequence[str]) -> int:
    """Return by how many later calls one was overtaken, at most."""
    began = {one.password: one.began for one in reversed(found)}
    order = [began.get(password, inf) for password in arrived]
    return max(sum(later < one for later in order[n:]) for n, one in enumerate(order))


@dataclass(frozen=True, slots=True)
class Step:
    """A call of its own, how it has to end (a value, or the name of an error), and how it ended."""

    what: str
    wanted: str
    ending: Ending

    @property
    def right(self) -> bool:
        """Whether it ended as it has to."""
        ending = self.ending
        return ending.value == self.wanted if ending.returned else ending.is_error(self.wanted)


class Quiet(core.Scene["Quiet.Found"]):
    """Calls one after another: what they return and raise, and how often they compute."""

    title, promises = "calls one after another", (1, 2, 7)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of each call, and what was computed."""

        steps: tuple[Step, ...]
        wrong: int
        """Computations for a wrong password."""
        unknown: int
        """And for a name that nobody has."""
        started: int
        """Threads and processes that computed for the first time."""
        processes: int
        """Child processes at the end."""
        lines: tuple[Place | None, ...]

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        desk = await stage.shared(_desk, lab, stage)
        verify, register, password = desk.verify, desk.register, desk.password
        steps = list[Step]()

        async def step(what: str, wanted: str, call: Call) -> int:
            if steps and steps[-1].ending.overdue:
                await call.cancelled(0)  # else there would be no time to say so
                return 0
            before = len(desk.passwords.computations())
            steps.append(Step(what, wanted, await call.settled(_PATIENCE)))
            new = desk.passwords.computations()[before:]
            return sum(one.password not in first for one in new)

        # A pool starts its workers when there is work for them: also one too many.
        first = {one: register(one, one) for one in map(password, "s" * (2 * WORKERS))}
        await Calls(first).settled(_PATIENCE)
        before = {(one.process, one.thread) for one in desk.passwords.computations()}
        right, long = password("q", 9), password("q", 72)
        await step("A registration", "None", register("ann", right))
        wrong = await step("A wrong password", "False", verify("ann", password("q")))
        unknown = await step("A name that nobody has", "False", verify("bob", password("q")))
        what = "The registration of a name that is taken"
        await step(what, "NameTakenError", register("ann", password("q")))
        await step("The right password after that", "True", verify("ann", right))
        what = "A registration with a weak password"
        await step(what, "WeakPasswordError", register("eve", password("w")))
        what = "A registration with a password that `hashed` refuses"
        await step(what, "ValueError", register("eve", f"{long}q"))
        await step("A registration after one that failed", "None", register("eve", long))
        await step("Its password", "True", verify("eve", long))
        both = {one: register("cid", one) for one in (password("s"), password("s"))}
        endings = await Calls(both).settled(_PATIENCE)
        returned = sum(one.returned for one in endings)
        worst = min(endings, key=lambda one: one.returned)
        if returned != 1:
            steps.append(Step(f"Of two registrations at once, {returned} returned: one", "", worst))
        else:
            steps.append(Step("One of two registrations at once", "NameTakenError", worst))
            kept = next(one for one, call in both.items() if call.ending().returned)
            await step("The password of the other one", "True", verify("cid", kept))
        now = {(one.process, one.thread) for one in desk.passwords.computations()}
        started, processes = len(now - before), len(active_children())
        return self.Found(tuple(steps), wrong, unknown, started, processes, desk.lines)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        del judged
        enrolls, verifies = found.lines
        wrong = next((one for one in found.steps if not one.right), None)
        if wrong is not None:
            ending, wanted = wrong.ending, wrong.wanted or "NameTakenError"
            how = "raise" if wanted.endswith("Error") else "return"
            said = f"{wrong.what} has to {how} {wanted}, and {ending}."
            step = "Give the password on as it is, and let out what `strength` and `hashed` raise, as it is."
            if "pickle" in ending.message:
                step = "Send a function of the module or a method: a lambda or an inner one can't be pickled."
            elif "two registrations" in wrong.what:
                step = "Take the name before the first await: between a look and an await, "
                step += "others run."
            elif wanted == "None" and ending.is_error("NameTakenError"):
                step = "Give the name back when a registration fails, however it does."
            elif ending.overdue and not found.processes:
                said += " It had no process left."
                step = _NONE_LEFT
            place = ending.place or (verifies if "password" in wrong.what[:14] else enrolls)
            yield broke(1, said, step, place, timed=ending.overdue)
        elif found.wrong == found.unknown:
            yield from (Kept(1), Kept(2))
        else:
            yield Kept(1)
            said = f"verify computed {count(found.unknown, 'time')} for a name that nobody "
            said += "has, and "
            said += f"{found.wrong} for a wrong password: how long the answer takes tells who has an account."
            step = "Let `matches` compute with NOBODY's hash where there is no other."
            figures = counted(found.unknown, found.wrong, "computation")
            yield broke(2, said, step, verifies, **figures)
        if found.started > STARTED.limit:
            said = f"For 12 calls, one after another, {found.started} threads and processes were started."
            step = "Make the pool once, in __init__, and keep it until `close`."
            figures = {"measured": count(found.started, "worker"), "budget": str(STARTED)}
            yield broke(7, said, step, enrolls, **figures)
        elif wrong is None:
            yield Kept(7)


class Burning(core.Scene["Burning.Found"]):
    """Computations in earnest, of the lab and of the file as shipped: what becomes of the loop."""

    title, promises = "registrations and logins that compute in earnest", (3,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """Where it was computed, and how the loop fared."""

        computed: int
        on_loop: int
        """Of these, on the loop's thread."""
        under_gil: int
        """Calls of `strength` in another thread, under the loop's GIL."""
        loop: Loop
        shipped: Loop
        line: Place | None

        @property
        def held(self) -> bool:
            """Whether something kept the loop: what only shows on a free one is left out then."""
            return self.on_loop > 0 or self.loop.lag > LAG.limit * self.shipped.lag

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found | None:
        if spent(stage):
            return None
        shipped, _ = await self._burn(Desk(stage.antipattern, stage, "shipped"), stage)
        desk, (process, thread, interpreter) = await stage.shared(_desk, lab, stage), noted.here()
        since = stage.probe.snapshot().at
        loop, computed = await self._burn(desk, stage)
        near = [one for one in computed if (one.process, one.interpreter) == (process, interpreter)]
        on_loop = sum(one.thread == thread for one in near)
        under = sum(one.gil and one.kind == "strength" and one.thread != thread for one in near)
        stage.vital(lag_ms=round(1000 * loop.lag, 2), lag_ms_as_shipped=round(1000 * shipped.lag))
        # Where the lab calls what is computed: the stall's own line is in the computation.
        stalls = [one for one in stage.probe.stalls if one.started >= since and on_loop]
        worst = max(stalls, key=lambda one: one.seconds, default=None)
        frames = [one for one in (worst.stack if worst else ()) if learners(one.file)]
        line = line_at(frames[-1].file, frames[-1].line) if frames else loop.place or desk.lines[1]
        return self.Found(len(computed), on_loop, under, loop, shipped, line)

    async def _burn(self, desk: Desk, stage: "Stage") -> tuple[Loop, list[noted.Computation]]:
        known = {f"burns-{size}": desk.password("b", size) for size in (4, 12, 50)}
        seen = list[Loop]()
        for begin in (desk.register, desk.verify):
            calls = Calls({name: begin(name, one) for name, one in known.items()})
            _, loop = await stage.watched(calls, _PATIENCE)
            seen.append(loop)
        return max(seen, key=lambda one: one.lag), desk.computed(known.values())

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        del judged
        loop, shipped, more = found.loop, found.shipped, dict[str, Any]()
        late = f"The loop was {span(loop.lag)} late on average (as shipped {span(shipped.lag)})."
        conflict: str | None = "cpu-bound"
        if found.on_loop:
            ran = f"{found.on_loop} of {count(found.computed, 'computation')}"
            said = f"{ran} ran on the event loop's thread. {late}"
            step = "Send every computation to a worker, however short the password."
            more = {"measured": f"{found.on_loop} on the loop's thread", "budget": "0"}
        elif found.under_gil:
            said = f"`strength` ran {count(found.under_gil, 'time')} in a thread beside the event loop, under "
            said += f"its GIL. {late}"
            step = "Send `strength` to a process: pure Python keeps the GIL of the one it runs in."
            more = {"measured": f"{found.under_gil} under the loop's GIL", "budget": "0"}
        elif found.held:
            said = f"Nothing was computed on the event loop's thread, but it was held. {late}"
            step = "Await the pool's result, by run_in_executor; nothing on the loop waits for it."
            conflict = (loop.stall.conflict if loop.stall else None) or "blocking-sync-primitive"
            times = f"{loop.lag / shipped.lag:.2f} x"
            more = {"measured": times, "budget": str(LAG), "timed": True}
        else:
            if found.computed >= _BURNT:
                yield Kept(3)
            return
        yield broke(3, said, step, found.line, conflict=conflict, **more)


class Storm(core.Scene["Storm.Found"]):
    """More calls at once than there are workers."""

    title, promises = f"18 calls at once, for {WORKERS} workers", (1, 4, 5)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How many ran at once, and in which order."""

        most: int
        idle: float
        """Share of the workers' time, 0 to 1."""
        overtaken: int
        wrong: Ending | None
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found | None:
        if held(stage):
            return None
        desk, new = await stage.shared(_desk, lab, stage), range(3, 7)
        # The last names come first. Four of the first calls are registrations.
        names = [f"{99 - number} storm" for number in range(18)]
        known = Calls(
            {one: desk.register(one, desk.password("q")) for one in names[:3] + names[7:]}
        )
        await known.settled(_PATIENCE)
        calls = Calls[str]()
        for number, letter in enumerate("mss" * 5 + "sss"):
            password = desk.password(letter, 40 - number)
            begin = desk.register if number in new else desk.verify
            calls[password] = begin(names[number], password)
        endings, loop = await stage.watched(calls, _PATIENCE)
        found = desk.computed(calls)
        over = [(one.began, one.over) for one in found if one.over]
        seconds = max((end for _, end in over), default=1.0) - min(
            (began for began, _ in over), default=0.0
        )
        idle = 1 - sum(end - began for began, end in over) / (seconds * WORKERS)
        most, late = most_at_once(found), overtaken(found, [*calls])
        stage.vital(at_once=most, idle_percent=round(100 * idle), overtaken_by=late)
        wrong = next((one for one in endings if not one.returned), None)
        return self.Found(most, idle, late, wrong, loop.waited or desk.lines[1])

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        wrong, more = found.wrong, dict[str, Any]()
        if wrong is not None:
            if not judged.breaks(1):
                said = f"Among 18 calls at once, one {wrong}."
                step = "Share nothing between calls but the pool and the names."
                yield broke(1, said, step, wrong.place or found.line, timed=wrong.overdue)
            return
        yield Kept(1)
        if found.most == WORKERS and found.idle <= IDLE.limit:
            yield Kept(4)
        else:
            ran = count(found.most, "computation")
            said = f"With workers={WORKERS} and 18 calls, {ran} ran at once at most."
            more = {"measured": f"{found.most} at once", "budget": f"{WORKERS}"}
            more["conflict"] = "sequential-awaits"
            step = "Begin the next computation as soon as one is over."
            if found.most > WORKERS:
                step = "Let all computations have one limit: one pool, or one semaphore for "
                step += "all pools."
                more["conflict"] = "unbounded-gather"
            elif found.most == WORKERS:
                said += f" Workers were idle {found.idle:.0%} of the time."
                more |= {"measured": f"{found.idle:.0%} idle", "budget": f"{IDLE.limit:.0%} idle"}
                more["timed"] = True
            yield broke(4, said, step, found.line, **more)
        if found.overtaken <= OVERTAKEN.limit:
            yield Kept(5)
        else:
            said = f"A call was overtaken by {found.overtaken} that came later."
            step = "Let calls wait in one queue, first in, first out: a pool's, or an asyncio.Semaphore's."
            more = {"measured": count(found.overtaken, "later call"), "budget": str(OVERTAKEN)}
            yield broke(5, said, step, found.line, conflict="order-broken", **more)


class Cancelled(core.Scene["Cancelled.Found"]):
    """Calls that are cancelled while they wait, and one while it is computed."""

    title, promises = "calls that are cancelled, 16 of them before they are computed", (6,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How cancelled calls ended, and what became of their places."""

        worst: Ending
        computed: int
        """Of those that waited."""
        went_on: bool
        """Whether the computation of the one that was computed came to its end."""
        crowd: int
        """Computations at once afterwards, at most, the one that goes on included."""
        places: int
        """Computations at once when that one is over."""
        again: Ending
        """Of a registration by a name whose registration was cancelled."""
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found | None:
        if held(stage):
            return None
        desk = await stage.shared(_desk, lab, stage)
        first = desk.crowd("lmm")
        await desk.begun(first)
        waiting, since = desk.crowd("s" * 16), stage.clock()
        gone = {"gone": desk.register("gone", desk.password("s"))}
        await stage.sleep(_SETTLES)
        long = next(iter(first))
        endings = await Calls({long: first[long], **waiting, **gone}).cancelled(CANCEL.limit)
        after = desk.crowd("s" * 6)
        after |= {one: desk.register(one, one) for one in map(desk.password, "sss")}
        new = desk.password("s")
        again = after[new] = desk.register("gone", new)
        await Calls({**first, **after}).settled(_PATIENCE)
        await stage.sleep(max(0.0, since + noted.LONG + _SETTLES - stage.clock()))
        last = desk.crowd("s" * 6)
        await last.settled(_PATIENCE / 2)
        if any(one.seconds < 0 for one in endings):
            return None  # it was over before it was cancelled
        crowd = most_at_once(desk.computed({**first, **waiting, **after}))
        worst = max(endings, key=lambda one: (one.how != "cancelled", one.seconds))
        places, computed = most_at_once(desk.computed(last)), len(desk.computed(waiting))
        went_on = all(one.over for one in desk.computed([long]))
        line = worst.place or desk.lines[1]
        return self.Found(worst, computed, went_on, crowd, places, again.ending(), line)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        worst, more = found.worst, dict[str, Any]()
        if worst.how != "cancelled" or worst.seconds > CANCEL.limit:
            who = "A call was cancelled, one of 18"
            step = "Let CancelledError out at once: the computation can go on without its caller."
            yield swallowed(worst, CANCEL, who, found.line, promise=6, next_step=step)
            return
        if found.computed > COMPUTED.limit:
            said = f"16 calls were cancelled while they waited, and {found.computed} of them were computed "
            said += "all the same."
            step = "Let a cancelled call leave the queue: await the future, without a shield."
            more = {"measured": f"{found.computed} of 16", "budget": str(COMPUTED)}
            more["conflict"] = "dropped-task"
        elif found.again.is_error("NameTakenError"):
            said = "A registration was cancelled, and its name stayed taken: the next one raised NameTakenError."
            step = "Give the name back however a registration ends: in `finally`, or under `except BaseException`."
        elif judged.breaks(4) or (judged.breaks(3) and found.crowd > WORKERS):
            return
        elif not found.went_on:
            said = "A call was cancelled while it was computed, and its computation never came to its end."
            step = "Let it go on: a worker that is killed is started again, and others wait "
            step += "for that."
            more = {"timed": True}
        elif found.places < WORKERS:
            said = f"After calls were cancelled, {found.places} of {WORKERS} workers computed "
            said += "at once."
            step = "Give a place back however its call ends: in `finally`, or by the future's callback."
            more = {"measured": f"{found.places} places", "budget": f"{WORKERS}"}
        elif found.crowd > WORKERS:
            said = f"A call was cancelled while it was computed, and then {found.crowd} computations ran at "
            said += f"once, with workers={WORKERS}."
            step = "Give the place back when the computation is over: by add_done_callback of its future."
            more = {"measured": f"{found.crowd} at once", "budget": f"{WORKERS}"}
        else:
            yield Kept(6)
            return
        yield broke(6, said, step, found.line, **more)


class Closing(core.Scene["Closing.Found"]):
    """A close while calls are computed, and others wait."""

    title, promises = "closing while calls are in progress", (3, 7)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How close and the calls in progress ended."""

        closed: Ending
        failed: Ending | None
        """The first call in progress that did not return."""
        early: int
        """Calls that were in progress when close returned."""
        loop: Loop
        later: Ending
        """A call after that."""
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found | None:
        desk = await stage.shared(_desk, lab, stage)
        if spent(stage):
            await Call(desk.accounts.close, "close").settled(_PATIENCE)
            return None
        calls, new = desk.crowd("msssssssss"), desk.password("s", 30)
        calls[new] = desk.register("late", new)
        await desk.begun(calls)
        async with stage.watch_loop(noted.MIDDLE) as watch:
            close = Call(desk.accounts.close, "close")
            closed = await close.settled(_PATIENCE)
        early = sum(not one.done or (one.ended or 0) > (close.ended or 0) for one in calls.values())
        endings = await calls.settled(_PATIENCE / 2)
        failed = next((one for one in endings if not one.returned), None)
        later = await desk.verify("late", new).settled(1.0)
        line = defined_at(lab.Accounts.close)
        return self.Found(closed, failed, early, watch.found, later, line)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        closed, failed, place = found.closed, found.failed, found.line
        step = "Await asyncio.to_thread(pool.shutdown), which waits for what is in the pool."
        if not judged.breaks(3):
            yield from blocked(found.loop, BLOCKED, "close ran", promise=3, next_step=step)
        if found.loop.busy > BLOCKED.limit:
            return  # calls could not end
        if not closed.returned:
            said, place = f"close {closed}.", closed.place or place
        elif failed is not None and not judged.breaks(1):
            said = f"A call was in progress when close began, and {failed}."
            place = failed.place or place
        elif found.early:
            said = f"close returned while {count(found.early, 'call')} were in progress."
        elif not found.later.is_error("RuntimeError"):
            said = f"After close had returned, a call {found.later} instead of raising "
            said += "RuntimeError."
            step = "Keep the closed pool, which raises RuntimeError, or a flag that does."
        else:
            if failed is None:
                yield Kept(7)
            return
        overdue = closed.overdue or (failed is not None and failed.overdue)
        yield broke(7, said, step, place, timed=overdue)


def spent(stage: "Stage") -> bool:
    """Return whether calls hang, or each starts a worker: the rest would take longer than the check has."""
    quiet = stage.found(Quiet)
    late = quiet is not None and any(one.ending.overdue for one in quiet.steps)
    return quiet is not None and (late or quiet.started > STARTED.limit)


def held(stage: "Stage") -> bool:
    """Return whether the loop was held: calls do not overlap then, and none can be cancelled."""
    burning = stage.found(Burning)
    return spent(stage) or (burning is not None and burning.held)


def praise(judged: Judged) -> str:
    """Return the sentence of a pass."""
    burning, storm = judged.expect(Burning), judged.expect(Storm)
    lag, shipped = span(burning.loop.lag), span(burning.shipped.lag)
    said = f"The loop was {lag} late on average (as shipped {shipped}). "
    return f"{said}In a storm, {WORKERS} workers were idle {storm.idle:.0%} of the time."


SCENES = (Quiet(), Burning(), Storm(), Cancelled(), Closing())
CHECK = core.Check(scenes=SCENES, praise=praise, leaves_nothing=7)

FIGURES = (Figure("at_once", "At once it computes", "passwords", 3.0),)
