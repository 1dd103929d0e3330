"""Check of lab 09: searches schedules in virtual time, kills a process between commands, uses a Valkey."""

import asyncio
import gc
import itertools
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from loopclinic.import_path import imported
from loopclinic.lessons.await_races.stores import Link, MemoryStore, ValkeyStore
from loopclinic.lessons.core import (
    Broken,
    Budget,
    Call,
    Calls,
    Check,
    Ending,
    Judged,
    Kept,
    Place,
    Said,
    Scene,
    Stall,
)
from loopclinic.lessons.core.call import now
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.stacks import defined_at, stands_at
from loopclinic.lessons.core.verdicts import broke, counted, none_of, slept
from loopclinic.lessons.schedules.search import Played, Schedule, played
from loopclinic.units import count

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

WAITS = Budget(
    2.0,
    "x one call",
    "Calls for 200 keys at once, by the clock of the lab. Without a shared lock 1.0; with 64 locks for all "
    "keys 7; with one lock 200.",
)
KEEPS = Budget(
    0.5,
    "objects a key",
    "What the limiter and its module hold. A right answer keeps none; the least is the key itself, one object.",
)

SIZES = ((2, 1), (2, 1), (3, 2), (8, 5), (30, 20))
"""Calls at once, and the limit: small ones, so that the smallest schedule is short."""
SEEDS = 100
"""Schedules a scene: of the racy half-fixes, the luckiest breaks in every fourth."""
WINDOW = 3600.0
EDGE = 1.5
"""Seconds from the end of a window: the contract allows one."""
TRIES = 4.5
"""Calls a window of somebody who keeps trying: none is near the end of one."""
MOST_STEPS = 8
"""Of a schedule that is shown whole."""
PATIENCE = 10.0
"""Virtual seconds after which a call is given up: right answers take less than one."""
MANY_KEYS, KEPT_KEYS, TURNS = 200, 500, 4
MOST_COMMANDS = 40
"""Commands of one call at most between which its process dies."""
_HOP, _LONG_HOP = 0.005, 1.0
"""Seconds of one way to the store; the long one where times are compared: beside it, computing is nothing."""
_ONE_STEP = "Let one step of the store count and return the sum, and decide from that sum only."

_sleep = asyncio.sleep


class WrongNumberError(Exception):
    """Another number of calls was allowed than is right."""


def _limiter(lab: ModuleType, store: Any, limit: int = 3) -> Any:
    """Return a Limiter of the lab that connects to this store."""

    async def connect() -> Any:
        return store

    return lab.Limiter(connect, limit=limit, window=WINDOW)


async def _asked(limiter: Any, *keys: str) -> list[Ending]:
    """Call `allow` for these keys at once, and return how each call ended."""
    calls = {n: Call(partial(limiter.allow, key)) for n, key in enumerate(keys)}
    return await Calls(calls).settled(PATIENCE)


@dataclass(frozen=True, slots=True)
class Searched:
    """Schedules that were played, and the smallest of those that break the lab."""

    schedules: int
    wrong: int
    """Schedules in which another number was allowed."""
    raised: int
    """Schedules in which a call raised or was not over."""
    seed: int = 0
    error: str = ""
    steps: tuple[str, ...] = ()
    """Task and command, in their order, of the smallest one."""
    place: Place | None = None


async def _search(play: Callable[[Schedule], Awaitable[None]], line: Place | None) -> Searched:
    found = [await played(play, seed, patience=PATIENCE) for seed in range(SEEDS)]
    broken = sorted((one for one in found if one.error), key=lambda one: one.size)
    wrong = [one for one in broken if one.error.startswith(WrongNumberError.__name__)]
    if not broken:
        return Searched(len(found), 0, 0)
    one = (wrong or broken)[0]
    place = (_between(one) if wrong and one.steps else one.place) or line
    steps = tuple(f"{step.lane}: {step.what}" for step in one.steps)
    numbers, error = (len(found), len(wrong), len(broken) - len(wrong)), one.error
    return Searched(*numbers, one.seed, error.partition(": ")[2] or error, steps, place)


def _between(one: Played) -> Place:
    """Return the line after which another task took a step before its own task went on."""
    for step, following in itertools.pairwise(one.steps):
        if following.lane != step.lane:
            return step.place
    return one.steps[0].place


def _playing(*modules: ModuleType) -> Callable[[Schedule], Awaitable[None]]:
    """Return a play: calls at once, shared among a limiter of each module."""

    async def play(schedule: Schedule) -> None:
        calls, limit = schedule.rng.choice(SIZES)
        keys = schedule.rng.choice((("a",), ("a",), ("a", "b")))
        store = schedule.slow(MemoryStore())
        limiters = [_limiter(one, store, limit) for one in modules]
        for limiter in limiters:  # connecting has a scene of its own
            await limiter.allow("first")
        schedule.steps.clear()
        order = [(limiters[n % len(limiters)], key) for key in keys for n in range(calls)]
        answers = await schedule.together(*(limiter.allow(key) for limiter, key in order))
        pairs = [(key, answer) for (_, key), answer in zip(order, answers, strict=True)]
        for key in keys:
            allowed = [answer for asked, answer in pairs if asked == key and answer is not False]
            odd = next((one for one in allowed if one is not True), None)
            if odd is not None:
                raise TypeError(f"allow returned {odd!r}, not True or False")
            if len(allowed) != min(limit, calls):
                said = f"{len(allowed)} of {calls} calls at once were allowed"
                raise WrongNumberError(f"{said}, with a limit of {limit}")

    return play


class AtOnce(Scene["AtOnce.Found"]):
    """One limiter and many calls, in a hundred schedules."""

    title, promises = "many calls at once, in 100 schedules", (1,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What the search found, and the line that blocked the loop."""

        searched: Searched
        stall: Stall | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        loop: Any = asyncio.get_running_loop()
        before = len(loop.stalls)
        searched = await _search(_playing(lab), defined_at(lab.Limiter.allow))
        return self.Found(searched, next(iter(loop.stalls[before:]), None))

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        step = "Await asyncio.sleep instead, or do without waiting."
        yield from slept(found.stall, "every call for every key", step, promise=6)
        windows, keys = judged.found(Windows), judged.found(Keys)
        in_turn = windows is None or windows.got.startswith("TTTFF")
        race = in_turn and (keys is None or keys.allowed == MANY_KEYS)
        yield _numbers(found.searched, 1, "in one process", race=race)


def _numbers(found: Searched, promise: int, where: str, *, race: bool = True) -> Said:
    """Judge what a search found; if calls one after another come out wrong, too, it is no race."""
    shown, searched = f"{len(found.steps)} steps", f"{found.schedules} schedules {where}"
    if len(found.steps) <= MOST_STEPS:
        shown = "; ".join(found.steps) or "no command reached the store"
    conflict: str | None
    if found.wrong:
        said = f"In {found.wrong} of {searched}, a wrong number of calls was allowed. In the "
        said += f"smallest (seed {found.seed}) {found.error}: {shown}."
        step, conflict = _ONE_STEP, "non-atomic-counter"
        if not race and found.wrong == found.schedules:
            step = "Count each key by itself, and allow exactly `limit` of its calls: this is "
            step += "no race."
            conflict = None
    elif found.raised:
        said = f"In {found.raised} of {searched}, a call did not answer. In the smallest "
        said += f"(seed {found.seed}): {found.error}."
        step = "Let every call return True or False, however its steps and those of others fall."
        conflict = None
    else:
        return Kept(promise)
    many = f"{found.wrong or found.raised} of {found.schedules} schedules"
    more = {"measured": many, "budget": "0 schedules", "conflict": conflict}
    return broke(promise, said, step, found.place, **more)


class Processes(Scene["Processes.Found"]):
    """Two limiters that share nothing but the store: in schedules, and on a real Valkey."""

    title, promises = "two processes on one store, and on a real Valkey", (2,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What the search found; how many of `calls` the Valkey's limiters allowed."""

        searched: Searched
        allowed: int
        calls: int
        limit: int
        ended: Ending | None
        """The first of the calls on Valkey that did not return."""
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        # As in another process, the file that is imported once more shares no lock and no variable.
        other = imported(Path(str(lab.__file__)), f"{lab.__name__}_elsewhere")
        line = defined_at(lab.Limiter.allow)
        searched = await _search(_playing(lab, other), line)
        limit, calls, key = 5, 16, f"loopclinic:{stage.rng.getrandbits(64):x}"
        async with _clients(stage.services["valkey"], key) as connect:
            limiters = [one.Limiter(connect, limit=limit, window=WINDOW) for one in (lab, other)]
            for limiter in limiters:
                await _asked(limiter, f"{key}:first")
            made = {n: Call(partial(limiters[n % 2].allow, key)) for n in range(calls)}
            endings = await Calls(made).settled(PATIENCE)
        allowed = sum(call.value is True for call in made.values())
        ended = next((one for one in endings if not one.returned), None)
        return self.Found(searched, allowed, calls, limit, ended, line)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        """Judge the schedules, then the Valkey; neither where one process is at fault already."""
        if judged.breaks(1):
            return
        if found.searched.wrong or found.searched.raised:
            yield _numbers(found.searched, 2, "of two processes")
        elif found.ended is None and found.allowed == found.limit:
            yield Kept(2)
        else:
            ended, conflict = found.ended, None if found.ended else "non-atomic-counter"
            how = f"{found.allowed} of {found.calls} calls were allowed"
            how = how if ended is None else f"a call {ended}"
            said = f"On a real Valkey, with two processes and a limit of {found.limit}, {how}."
            step = "Use the commands of the store as the lab's Store describes them."
            place = ended.place if ended else found.line
            more = counted(found.allowed, found.limit, "call")
            yield broke(2, said, step, place, conflict=conflict, **more)


@asynccontextmanager
async def _clients(url: str, key: str) -> AsyncIterator[Callable[[], Awaitable[ValkeyStore]]]:
    """Give what connects to a Valkey; remove at the end what was kept there."""
    from redis.asyncio import Redis  # the parent, which only judges, needs none

    async with AsyncExitStack() as stack, Redis.from_url(url) as client:

        async def connect() -> ValkeyStore:
            return ValkeyStore(await stack.enter_async_context(Redis.from_url(url)))

        try:
            yield connect
        finally:
            async for kept in client.scan_iter(match=f"*{key}*", count=1000):
                await client.delete(kept)


class Windows(Scene["Windows.Found"]):
    """Somebody who keeps trying, and callers just before and just after the end of a window."""

    title, promises = "a customer who keeps trying, over three windows", (3,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """Answers of `allow`, and what they should be: T and F, `?` for a call that did not return."""

        got: str
        expected: str
        early: str
        """One call `EDGE` seconds before the end of a full window."""
        late: str
        """One call as much after it."""
        ended: Ending | None
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        limiter, endings = _limiter(lab, Link(MemoryStore(), _HOP)), list[Ending]()

        async def asked(key: str) -> str:
            endings.extend(await _asked(limiter, key))
            return {"True": "T", "False": "F"}.get(endings[-1].value, "?")

        await asked("first")
        # So that no window that is counted from midnight, or from the start, is in step with these.
        await _sleep(WINDOW * 0.4 - time.time() % WINDOW + WINDOW)
        began, got, expected = now(), "", ""
        used, since = 0, -2.0
        for number in range(13):
            at = number / TRIES
            await _sleep(max(0.0, began + at * WINDOW - now()))
            got += await asked("keen")
            used, since = (1, at) if at >= since + 1 else (used + 1, since)
            expected += "T" if used <= 3 else "F"
        began, got, expected = now(), f"{got} ", f"{expected} TTTTTT"
        for at in (0.0, 0.9, 0.9, 1.1, 1.1, 1.1):
            await _sleep(max(0.0, began + at * WINDOW - now()))
            got += await asked("uneven")
        edges: dict[str, str] = {}
        for key, edge in (("early", -EDGE), ("late", EDGE)):
            began = now()
            for _ in range(3):
                await asked(key)
            await _sleep(began + WINDOW + edge - now())
            edges[key] = await asked(key)
        ended = next((one for one in endings if not one.returned), None)
        line = defined_at(lab.Limiter.allow)
        return self.Found(got, expected, edges["early"], edges["late"], ended, line)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        """Judge the answers; not where no schedule came out right, which shows here, too."""
        searched = judged.expect(AtOnce).searched
        if searched.wrong == searched.schedules:
            return
        wrong = sum(a != b for a, b in zip(found.got, found.expected, strict=True))
        edges = (found.early != "F") + (found.late != "T")
        if not wrong and not edges:
            yield Kept(3)
            return
        said = f"With a limit of 3, somebody tried {TRIES:g} times a window; somebody else once, twice near its end, "
        said += f"three times in the next. Allowed (T) or not (F): {found.got}; right is {found.expected}."
        if not wrong:
            when, edge = ("before", found.early) if found.early != "F" else ("after", found.late)
            said = f"{EDGE:g} s {when} the end of a full window, the answer was {edge}."
        if found.ended is not None:
            said = f"One call after the other, with a limit of 3: a call {found.ended}."
        step = "Let one counter end as a whole, `window` seconds after its first call, which alone sets that: by `nx`."
        place = (found.ended and found.ended.place) or found.line
        yield broke(3, said, step, place, **none_of(wrong + edges, "wrong answer"))


class Connecting(Scene["Connecting.Found"]):
    """Many first calls at once: at a store that connects, and at one that first refuses."""

    title, promises = "twelve first calls at once, and a store that first refuses", (4,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """Connections made by calls at once, and what became of calls whose first attempt fails."""

        connects: int
        under_way: int
        """Attempts at once at most."""
        ended: Ending | None
        """The first call that ended by another error than the store's, or did not end."""
        after: Ending
        """A call after the failed attempt."""
        line: Place | None
        """The line that awaits `connect`."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        lines, endings, numbers = list[Place | None](), list[Ending](), list[int]()
        most = under_way = 0
        for fails in (0, 1):
            made, left = 0, fails

            async def attempt() -> Any:
                nonlocal made, left, most, under_way
                under_way += 1
                most = max(most, under_way)
                try:
                    await _sleep(0.02)
                    if left:
                        left -= 1
                        raise ConnectionRefusedError("the store refused the connection")
                    made += 1
                    return Link(MemoryStore(), _HOP)
                finally:
                    under_way -= 1

            def connect() -> Awaitable[Any]:
                lines.append(stands_at(sys._getframe(1)))  # noqa: SLF001 - documented
                return attempt()

            limiter = lab.Limiter(connect, limit=50, window=WINDOW)
            ended = await _asked(limiter, *["k"] * 12)
            endings += [one for one in ended if not (fails and one.is_error("OSError"))]
            (after,) = await _asked(limiter, "k")
            numbers.append(made)
        odd = next((one for one in endings if one.value != "True"), None)
        line = next(filter(None, lines), defined_at(lab.Limiter.allow))
        return self.Found(max(numbers), most, odd, after, line)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        most, ended = max(found.connects, found.under_way), found.ended
        if most > 1:
            said = f"Twelve first calls at once made {count(most, 'connection')}: each found none and began one."
            step = "Connect under an asyncio.Lock, and look again inside of it whether another call has connected."
            more = counted(most, 1, "connection")
            yield broke(4, said, step, found.line, conflict="lazy-init-race", **more)
        elif ended is not None:
            said = f"Twelve first calls came at once, and one {ended}."
            step = "Set what says that the store is connected after the await of `connect`, not before."
            yield broke(4, said, step, ended.place or found.line, conflict="lazy-init-race")
        elif found.after.value != "True":
            said = f"The store refused the first connection; the next call {found.after}."
            step = "Keep a connection only when there is one: forget a failed attempt, and connect anew."
            yield broke(4, said, step, found.after.place or found.line)
        else:
            yield Kept(4)


class Crashes(Scene["Crashes.Found"]):
    """A process that dies after each command of a call, and the window after that."""

    title, promises = "a process that dies between two commands", (5,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How many deaths were tried, and the first after which the key stayed closed."""

        deaths: int
        command: str = ""
        allowed: int = 0
        limit: int = 3
        place: Place | None = None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        deaths = 0
        for before in (0, 1, 3):
            for number in range(1, MOST_COMMANDS):
                store = MemoryStore()
                earlier = _limiter(lab, Link(store, _HOP))
                for _ in range(before):
                    await _asked(earlier, "k")
                link = Link(store, _HOP, dies_after=number)
                call = Call(partial(_limiter(lab, link).allow, "k"))
                await call.within(PATIENCE)
                link.over.set()
                await call.settled(1.0)
                if link.died is None:
                    break
                deaths += 1
                later, allowed = _limiter(lab, Link(store, _HOP)), 3
                for _ in range(2):  # the window after its death, and the one after that
                    await _sleep(WINDOW + EDGE)
                    answers = [one.value for one in await _asked(later, *"kkk")]
                    allowed = min(allowed, answers.count("True"))
                if allowed < 3:
                    place = link.died if link.died.file else defined_at(lab.Limiter.allow)
                    return self.Found(deaths, link.last, allowed, place=place)
        return self.Found(deaths)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        if not found.command:
            yield Kept(5)
        elif judged.breaks(3):
            yield Broken(5)
        else:
            said = f"A process died after `{found.command}`, before its next command. In a later window, "
            said += f"{found.allowed} of {found.limit} calls were allowed: what it left there has no end."
            step = "Give a value its end in the step that makes it: one transaction, or a set with `ex` and `nx`."
            more = counted(found.allowed, found.limit, "call")
            yield broke(5, said, step, found.place, conflict="non-atomic-counter", **more)


class Keys(Scene["Keys.Found"]):
    """Many keys at once, then thousands that come and go."""

    title, promises = "200 keys at once, then 2,000 that come and go", (1, 6, 7)

    @dataclass(frozen=True, slots=True)
    class Found:
        """Seconds of one call and of a call for each key at once; objects that stay for each key."""

        one: float
        many: float
        allowed: int
        """Of those calls."""
        kept: float
        waited: Place | None
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        limiter = _limiter(lab, Link(MemoryStore(), _LONG_HOP))
        await limiter.allow("first")
        most = 10.0 * MANY_KEYS * _LONG_HOP
        one = await Call(partial(limiter.allow, "second")).settled(most)
        stage.vital(round_trips=one.seconds / (2 * _LONG_HOP))
        calls = Calls({n: Call(partial(limiter.allow, f"{n}")) for n in range(MANY_KEYS)})
        await _sleep(1.5 * one.seconds)
        waited = calls.look()
        many = max(ending.seconds for ending in await calls.settled(most))
        allowed = sum(call.value is True for call in calls.values())
        store, kept = MemoryStore(), list[int]()
        limiter = _limiter(lab, Link(store, 0))
        for turn in range(TURNS):
            for part in range(0, KEPT_KEYS, 50):
                keys = [f"{turn}/{number}" for number in range(part, part + 50)]
                await asyncio.gather(*(limiter.allow(key) for key in keys))
            await _sleep(2 * WINDOW)
            store.clear()
            await limiter.allow("last")
            kept.append(_reach(limiter, lab))
        least = min(after - before for before, after in itertools.pairwise(kept)) / KEPT_KEYS
        return self.Found(one.seconds, many, allowed, least, waited, defined_at(lab.Limiter.allow))

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        times = found.many / max(found.one, _HOP)
        if found.allowed == MANY_KEYS:
            yield Kept(1)
        elif not judged.breaks(1):
            said = f"Of the first calls for {MANY_KEYS} keys, {found.allowed} were allowed."
            more = counted(found.allowed, MANY_KEYS, "call")
            yield broke(
                1, said, "Count each key by itself, under its whole name.", found.line, **more
            )
        if times > WAITS.limit:
            said = f"Calls for {MANY_KEYS} keys at once took {times:.0f} times as long as one: they wait for each "
            said += "other."
            step = "Share no lock and no limit among keys: let the store count in one step, which needs none."
            more = {"measured": f"{times:.1f} x one call", "budget": str(WAITS)}
            place = found.waited or found.line
            yield broke(6, said, step, place, conflict="sequential-awaits", **more)
        else:
            yield Kept(6)
        if found.kept > KEEPS.limit:
            said = f"After {KEPT_KEYS:,} keys that never came again, {found.kept:.1f} objects more stayed for each."
            step = "Keep nothing by key: the store forgets a counter when its window ends, your dict does not."
            more = {"measured": f"{found.kept:.1f} objects a key", "budget": str(KEEPS)}
            yield broke(7, said, step, found.line, **more)
        else:
            yield Kept(7)


def _reach(limiter: Any, lab: ModuleType) -> int:
    """Return how many objects a limiter and the lab's module hold: what is the loop's or a library's is not theirs."""
    todo, seen = [limiter, *vars(lab).values()], set[int]()
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(
            one, ModuleType | asyncio.AbstractEventLoop | FrameType | Link
        ):
            continue
        if isinstance(one, type | FunctionType):
            if one.__module__ != lab.__name__:
                continue
            todo += [*vars(one).values(), *(getattr(one, "__closure__", None) or ())]
        else:  # of a dict, it leaves out keys that are strings
            todo += [*gc.get_referents(one), *(one if isinstance(one, dict) else ())]
        seen.add(id(one))
    return len(seen)


def praise(judged: Judged) -> str:
    """Return how many schedules and deaths it stood."""
    schedules = (
        judged.expect(AtOnce).searched.schedules + judged.expect(Processes).searched.schedules
    )
    deaths = judged.expect(Crashes).deaths
    return f"Right in {schedules} schedules and after {count(deaths, 'death')} of its process."


CHECK = Check(
    scenes=(AtOnce(), Processes(), Windows(), Connecting(), Crashes(), Keys()),
    praise=praise,
    virtual=True,
)

FIGURES = (Figure("round_trips", "One call waits for the store", "times", 1.0),)
