"""The check of lab 10: a price service in memory that is well, slow, down, and well again; in virtual time."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.core import Budget, Call, Check, Ending, Judged, Kept, Said, Scene, Stall
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.verdicts import (
    AWAIT_ALL,
    broke,
    counted,
    left_at_work,
    slept,
    swallowed,
)
from loopclinic.lessons.failing_upstreams.price_service import (
    DEADLINE,
    FAILURES,
    LATENCY,
    LIMIT,
    PATIENCE,
    REST,
    Answer,
    Code,
    Shop,
    down,
    hangs,
    well,
)
from loopclinic.units import count, span
from loopclinic.verdict import Reason

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

LATE = Budget(
    1.05,
    "x the deadline",
    "One deadline around all waits ends at 1.0; a deadline for each of two attempts ends at 2.0.",
)
AT_ONCE = Budget(
    0.1,
    "x the deadline",
    "Refused without a wait takes 0.0; a wait for a place, or for the service, takes 1.0.",
)
RETRIES = Budget(
    0.1,
    "retries a call",
    "Three of seven calls fail: two more attempts for each are 0.75, one more 0.4, a budget 0.1 or less.",
)
SPARE = 3
"""Retries beside those: what a budget begins with."""
ENDS = Budget(
    0.1, "s", "A cancellation passes in 0 s; what is shielded goes on for the deadline, 1 s."
)

CROWD, MANY = 40, 300
EARLY, AFTER = 0.92, 1.08
"""Shares of `rest` before which no call may begin, and after which one must."""
_SYNC = " What guards the call is a sync function: it has returned before the call begins."
_GUARD = "Await inside of what counts failures: it has to see how the call ends, not that a coroutine was made."


def _not(kind: str, answers: Sequence[Answer]) -> Answer | None:
    """Return the first answer that is none of this kind."""
    return next((one for one in answers if one.kind != kind), None)


def _latest(answers: Sequence[Answer]) -> Ending:
    return max((one.ending for one in answers), key=lambda one: one.seconds)


def _crowded(peak: int, code: Code, limit: int = LIMIT, also: str = "") -> Said:
    """Judge how many calls were under way."""
    if peak <= limit:
        return Kept(2)
    said = f"{also}{peak} calls of `fetch` were under way at once, with a limit of {limit}."
    step = "Hold a place of one asyncio.Semaphore(limit), made once, around each call of `fetch`."
    if also:
        step = "Give back a place only where it was taken, as `async with` does."
    much = counted(peak, limit, "call")
    return broke(2, said, step, code.fetch, conflict="unbounded-gather", **much)


def _answered(answer: Answer | None, while_: str, right: str, code: Code, promise: int = 1) -> Said:
    """Judge the first answer that was not right; `right` says what would have been."""
    if answer is None:
        return Kept(promise)
    ending = answer.ending
    conflict = "masked-failure" if answer.kind == "wrong" else None
    conflict = "missing-deadline" if ending.overdue else conflict
    said = f"{while_}: a call of `get` {ending}; right is {right}."
    step = "Return Price(value) of this call, or the last one known with stale=True, or raise UnavailableError."
    return broke(promise, said, step, ending.place or code.get, conflict=conflict)


def _late(late: Ending, budget: Budget, while_: str, code: Code, promise: int = 1) -> Reason:
    """Return the reason for a call that took too long."""
    more, took = ("more than ", "was not done after") if late.overdue else ("", "took")
    said = f"{while_} a call of `get`, whose deadline is {span(DEADLINE)}, {took} {span(late.seconds)}."
    step = "Fix the time at which it ends when it begins, and wait for a place, for `fetch` and for retries "
    step += "until then only; while the service rests, wait for nothing."
    times = f"{more}{late.seconds / DEADLINE:.1f} x the deadline"
    much = {"measured": times, "budget": str(budget), "conflict": "missing-deadline"}
    return broke(promise, said, step, late.place or code.get, **much)


class Well(Scene["Well.Found"]):
    """A service that is well, that fails once, and of which three of seven calls fail."""

    title, promises = "a service that is well, and one that stumbles", (1, 2, 3, 5)

    @dataclass(frozen=True, slots=True)
    class Found:
        """Answers of a crowd, of single failures and of many; calls of `fetch`, and of `get`."""

        crowd: tuple[Answer, ...]
        peak: int
        blips: tuple[Answer, ...]
        many: tuple[Answer, ...]
        calls: int
        gets: int
        code: Code

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        shop, blips = Shop(lab), list[Answer]()
        service = shop.service
        crowd = await shop.ask(*range(CROWD))
        service.version = 2
        crowd += await shop.ask(0)
        service.fault = lambda n: down(n) if n < CROWD + FAILURES else LATENCY
        await shop.ask(*range(CROWD))
        service.fault = well
        for _ in range(2):
            for item in range(CROWD):
                await shop.ask(item)
            first = service.begun + 1
            service.fault = lambda n, first=first: down(n) if n == first else LATENCY  # type: ignore[misc]
            blips += await shop.ask(0)
        service.fault = lambda n: down(n) if n % 7 in {0, 1, 3} else LATENCY
        many = [(await shop.ask(number % CROWD))[0] for number in range(MANY)]
        for fault in (well, lambda n: down(n) if n % FAILURES else LATENCY):
            service.fault = fault
            many += [(await shop.ask(number))[0] for number in range(CROWD)]
        gets = CROWD + 1 + CROWD + 2 * (1 + CROWD) + len(many)
        stage.vital(retries=(service.begun - gets) / gets)
        given = tuple(crowd), service.peak, tuple(blips), tuple(many)
        return self.Found(*given, service.begun, gets, shop.code)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        code = found.code
        odd, while_ = _not("fresh", found.crowd), f"The service was well, and {CROWD} callers came"
        yield _answered(odd, while_, "the price that `fetch` returns now", code)
        if odd:
            judged.enough = odd in (found.crowd[0], found.crowd[-1])
            return
        yield _crowded(found.peak, code)
        if opened := sum(not one.begun for one in found.many):
            said = f"Many calls failed, never {FAILURES} in a row, and {count(opened, 'call')} of `get` did not "
            said += f"reach `fetch`. {FAILURES} failures in a row are to begin a rest."
            step = "Set the number of failures to 0 whenever a call of `fetch` succeeds."
            much = {"measured": f"{opened} of {len(found.many)} refused", "budget": "0 refused"}
            yield broke(3, said, step, code.fetch, **much)
            return
        yield Kept(3)
        odd, retries = _not("fresh", found.blips), found.calls - found.gets
        if odd:
            said = f"One call of `fetch` failed, of a service that had been well for {CROWD} calls; its "
            said += f"caller's `get` {odd.ending}."
            step = "Call `fetch` once more where a call failed, while the budget for retries is not used up."
            much = counted(odd.begun, 2, "attempt")
            yield broke(5, said, step, odd.ending.place or code.fetch, **much)
        elif retries > RETRIES.limit * found.gets + SPARE:
            said = f"{found.gets} calls of `get` made {count(retries, 'retry', 'retries')}, while many calls "
            said += "failed: a sick service gets the most load when it can bear the least."
            step = "Let each call of `get` earn a tenth of a retry, and spend a whole one on each retry."
            share = f"{retries / found.gets:.2f} retries a call"
            much = {"measured": share, "budget": str(RETRIES), "conflict": "retry-storm"}
            yield broke(5, said, step, code.fetch, **much)
        else:
            yield Kept(5)


def _rested(answers: Sequence[Answer], judged: Judged, code: Code) -> Iterator[Said]:
    """Judge what began while the service was to be left alone, and how long callers waited."""
    begun, late = sum(one.begun for one in answers), _latest(answers)
    if begun:
        said = f"After more than {FAILURES} failures in a row, {count(begun, 'call')} of `fetch` began within "
        said += f"{span(EARLY * REST)}, and the rest is {span(REST)}.{_SYNC * code.sync}"
        step = "Keep one count of failures for all calls, timeouts included; after the last, refuse for `rest`."
        yield _unguarded(said, step, code, **counted(begun, 0, "call"))
    elif late.seconds > AT_ONCE.limit * DEADLINE:
        yield _late(late, AT_ONCE, "The service was left alone, and", code, 3)
    elif not judged.breaks(3):
        yield Kept(3)


def _unguarded(said: str, step: str, code: Code, **more: Any) -> Reason:
    """Return the reason for a service that was not left alone; a sync guard is why, where there is one."""
    if code.sync:
        step, more["conflict"] = _GUARD, "sync-circuit-breaker"
    return broke(3, said, step, code.fetch, **more)


class Slow(Scene["Slow.Found"]):
    """A service that is slow, and one that never answers, as many callers come at once."""

    title, promises = "a service that never answers, and 30 callers", (1, 2, 3)

    @dataclass(frozen=True, slots=True)
    class Found:
        """Answers: calls take long, one fails late, none ends (of items known and not), and in the rest."""

        slow: tuple[Answer, ...]
        again: Answer
        known: tuple[Answer, ...]
        unknown: tuple[Answer, ...]
        resting: tuple[Answer, ...]
        peak: int
        code: Code

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        busy, shop = Shop(lab), Shop(lab)
        busy.service.fault = lambda _: 0.7 * DEADLINE
        slow = await busy.ask(*range(30))
        busy = Shop(lab)
        busy.service.fails_after = 0.8 * DEADLINE
        busy.service.fault = lambda n: down(n) if n == 1 else 0.8 * DEADLINE
        (again,) = await busy.ask(0)
        for shop.service.version in (2, 1):
            await shop.ask(*range(15))
        shop.service.version, shop.service.fault = 3, hangs
        crowd = await shop.ask(*range(30))
        resting = await shop.ask_resting(0.1, 0.5, EARLY)
        answers = tuple(slow), again, tuple(crowd[:15]), tuple(crowd[15:]), tuple(resting)
        return self.Found(*answers, shop.service.peak, shop.code)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        code, most = found.code, LATE.limit * DEADLINE
        while_ = "The service did not answer"
        late, slow = _latest(found.known + found.unknown), _latest(found.slow)
        if late.seconds > most:
            yield _late(late, LATE, f"{while_}, and", code)
        elif slow.seconds > most:
            yield _late(slow, LATE, "30 callers came, a call of `fetch` took 0.7 s, and", code)
        elif found.again.ending.seconds > most:
            yield _late(found.again.ending, LATE, "`fetch` failed after 0.8 s, and", code)
        elif odd := _not("stale", found.known + found.resting):
            yield _answered(odd, while_, "the last price known, with stale=True", code)
        else:
            odd = _not("unavailable", found.unknown)
            yield _answered(odd, while_, "UnavailableError: no price is known", code)
        yield _crowded(found.peak, code)
        if not late.overdue:
            yield from _rested(found.resting, judged, code)


class Down(Scene["Down.Found"]):
    """A service that refuses, is tried again and again, and is well at last."""

    title, promises = "a service that refuses, and gets well", (3, 4)

    @dataclass(frozen=True, slots=True)
    class Found:
        """Calls that began until the rest, of callers one by one and at once; then what attempts came to."""

        began: int
        crowd: int
        resting: tuple[Answer, ...]
        probes: tuple[tuple[str, int, int], ...]
        """What was tried, how many calls began, and how many should have."""
        well: tuple[Answer, ...]
        code: Code

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        shop, rush, probes = Shop(lab), Shop(lab), list[tuple[str, int, int]]()
        service, rush.service.fault = shop.service, down

        async def tried(what: str, expected: int = 1, callers: int = 20) -> list[Answer]:
            found = await shop.ask(*range(callers))
            probes.append((what, found[0].begun, expected))
            return found

        await shop.ask(*range(20))
        (refused, *_) = await rush.ask(*range(CROWD))
        service.fault, before = down, service.begun
        for _ in range(3 * FAILURES):
            await shop.ask(0)
        began = service.begun - before
        resting = await shop.ask_resting(0.5, EARLY)
        await asyncio.sleep((AFTER - EARLY) * REST)
        service.fault = hangs
        await tried("A rest was over, and 20 callers came")
        service.fault = down
        await asyncio.sleep(EARLY * REST)
        await tried("An attempt had failed, and before another rest was over 20 callers came", 0)
        await asyncio.sleep((AFTER - EARLY) * REST)
        before, call = service.begun, shop.begin(0)
        await asyncio.sleep(LATENCY / 4)
        await call.cancelled(PATIENCE)
        probes.append(("A second rest was over, and one caller came", service.begun - before, 1))
        await tried("The caller of an attempt was cancelled, and 20 callers came")
        await asyncio.sleep(AFTER * REST)
        service.fault = lambda _: KeyError("price")
        await shop.ask(0)
        await asyncio.sleep(AFTER * REST)
        service.fault, service.version = well, 2
        last = "An attempt had ended by KeyError, and after another rest one caller came"
        await tried(last, callers=1)
        failing = service.begun + 1
        service.fault = lambda n: down(n) if n == failing else LATENCY
        await shop.ask(0)
        again = await tried("An attempt had succeeded, one call failed, and 20 callers came", 20)
        given = tuple(resting), tuple(probes), tuple(again)
        return self.Found(began, refused.begun, *given, shop.code)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        code = found.code
        if judged.breaks(3):
            return
        if found.began != FAILURES:
            late = replace(code, sync=code.sync and found.began > FAILURES)
            said = f"The service refused every call: {count(found.began, 'call')} of `fetch` began one after "
            said += f"the other, and {FAILURES} failures in a row are to begin a rest.{_SYNC * late.sync}"
            step = "Count each failed call of `fetch`, retries included, and look at the count before each."
            yield _unguarded(said, step, late, **counted(found.began, FAILURES, "call"))
            return
        if found.crowd > LIMIT + FAILURES:
            if judged.breaks(2):
                return  # with fewer at once, it may know in time
            said = f"{CROWD} callers came at once to a service that refuses, and {found.crowd} calls of `fetch` "
            said += f"began: {LIMIT} may be under way, and {FAILURES} failures are to be enough."
            step = "Look at the count once more when a caller has got its place: it may have "
            step += "waited."
            yield _unguarded(said, step, code, **counted(found.crowd, LIMIT + FAILURES, "call"))
            return
        yield from _rested(found.resting, judged, code)
        wrong = next((one for one in found.probes if one[1] != one[2]), None)
        if wrong is None:
            odd = _not("fresh", found.well)
            yield _answered(odd, "The service was well again", "the price of now", code, 4)
            return
        what, began, expected = wrong
        stampede = began > expected + 1 > 1
        step = "Let the first caller after a rest try, mark that, and refuse all others until it is over."
        if began < expected:
            step = "End the attempt in a `finally`, also a cancelled one; one success ends the rest for all, and "
            step += "sets the number of failures to 0."
        elif not stampede:
            step = "Begin another rest when an attempt fails: until its end nobody calls, and nobody retries."
        said = f"{what}: {count(began, 'call')} of `fetch` began, and {expected} should have."
        conflict = "half-open-stampede" if stampede else None
        much = counted(began, expected, "call")
        yield broke(4, said, step, code.fetch, conflict=conflict, **much)


class OwnErrors(Scene["OwnErrors.Found"]):
    """Errors that are not the service's: unknown items, a bug, a file that may not be read."""

    title, promises = "errors that are not the service's", (6,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How each call ended, with the error's name; then an answer of the service, which was well."""

        errors: tuple[tuple[str, Answer], ...]
        after: Answer
        code: Code

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        shop, found = Shop(lab), []
        await shop.ask(0)
        kinds = (KeyError, TypeError, PermissionError, ValueError) * 3
        for number, kind in enumerate(kinds):
            shop.service.fault = lambda _, kind=kind: kind("no fault of the service")  # type: ignore[misc]
            found += [(kind.__name__, one) for one in await shop.ask(number % 2)]
        shop.service.fault = well
        (after,) = await shop.ask(2)
        return self.Found(tuple(found), after, shop.code)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        code = found.code
        for name, one in found.errors:
            if one.begun and not one.ending.is_error(name):
                said = f"`fetch` raised {name}, which says nothing of the service, and `get` {one.ending}."
                step = "Catch ConnectionError and TimeoutError, and nothing wider: neither Exception nor OSError."
                yield broke(6, said, step, one.ending.place or code.get, conflict="masked-failure")
                return
            if one.begun > 1:
                said = f"`fetch` raised {name}, and was called {one.begun} times for one call of `get`."
                step = "Retry after ConnectionError and TimeoutError only."
                much = counted(one.begun, 1, "call")
                yield broke(6, said, step, code.fetch, conflict="retry-storm", **much)
                return
        if found.after.kind == "fresh":
            yield Kept(6)
            return
        said = f"{len(found.errors)} errors came that say nothing of the service, then `get` {found.after.ending}."
        yield broke(6, said, "Count ConnectionError and TimeoutError only.", code.get)


class Cancelled(Scene["Cancelled.Found"]):
    """Callers that leave: while their call is under way, in line for a place, and beside another caller."""

    title, promises, limit = "callers that leave", (2, 7), 2

    @dataclass(frozen=True, slots=True)
    class Found:
        """How each cancelled call ended, what went on without it, and how others fared."""

        cancelled: tuple[Ending, ...]
        going_on: int
        others: tuple[tuple[str, Answer], ...]
        peak: int
        stall: Stall | None
        """What blocked the loop, in this scene or in those before."""
        code: Code

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        shop = Shop(lab, limit=self.limit)
        service, cancelled, going_on = shop.service, list[Ending](), 0
        service.fault = hangs

        async def leave(*calls: Call) -> None:
            nonlocal going_on
            await asyncio.sleep(DEADLINE / 4)
            cancelled.extend([await call.cancelled(PATIENCE) for call in calls])
            await asyncio.sleep(ENDS.limit)
            going_on = max(going_on, service.now)

        first = shop.begin(0)
        async with stage.count_leftovers(first) as census:
            await leave(first)
            for item in range(100, 101 + FAILURES):
                await leave(shop.begin(item))
            holding = [shop.begin(item) for item in (105, 106, 107)]
            await leave(holding[2], holding[0], holding[1])
        service.fault, left = well, len(cancelled)
        after, *_ = await shop.ask(1, 2, 3, 4)
        leaving = shop.begin(5)
        await asyncio.sleep(0)
        beside = asyncio.create_task(shop.ask(5))
        await asyncio.sleep(LATENCY / 2)
        cancelled.append(await leaving.cancelled(PATIENCE))
        others = (
            (f"{left} callers had left, and the service was well", after),
            ("Two callers asked for one item, and the first left", (await beside)[0]),
        )
        going_on = max(going_on, census.left.tasks)
        loop: Any = asyncio.get_running_loop()
        stall = next(iter(loop.stalls), None)
        return self.Found(tuple(cancelled), going_on, others, service.peak, stall, shop.code)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        code, ended = found.code, found.cancelled
        step = "Await asyncio.sleep instead, or do without a pause."
        yield from slept(found.stall, "every page of the shop", step, promise=1)
        if not judged.breaks(2) and not found.going_on:
            yield _crowded(
                found.peak, code, self.limit, "Callers left, some of them in line. Then "
            )
        others = [(what, one.ending) for what, one in found.others if one.kind != "fresh"]
        # What was over before it was cancelled had been refused for those that left before it.
        early = [("Callers left, one after the other", one) for one in ended if one.seconds < 0]
        late = [one for one in ended if one.how != "cancelled" or one.seconds > ENDS.limit]
        if late and late[0].seconds >= 0:
            step = "Let CancelledError pass: catch ConnectionError and TimeoutError only, clean up in `finally`."
            who, place = "A caller was cancelled", late[0].place or code.get
            yield swallowed(late[0], ENDS, who, place, promise=7, next_step=step)
        elif found.going_on:
            calls = count(found.going_on, "call")
            said = f"Callers were cancelled and ended, and {calls} of theirs went on without them."
            yield left_at_work(said, found.going_on, code.fetch, promise=7, next_step=AWAIT_ALL)
        elif early or others:
            what, ending = [*early, *others][0]
            step = "Count nothing for a caller that leaves, give its place back, and let nobody wait for its call."
            said = f"{what}: another caller's `get` {ending}."
            yield broke(7, said, step, ending.place or code.get)
        else:
            yield Kept(7)


def praise(judged: Judged) -> str:
    """Return what a sick service had to bear."""
    found = judged.expect(Well)
    return (
        f"A service that refuses gets {count(judged.expect(Down).began, 'call')}, then one a rest; "
        f"{found.gets} callers made {count(found.calls - found.gets, 'retry', 'retries')}."
    )


CHECK = Check(
    scenes=(Well(), Slow(), Down(), OwnErrors(), Cancelled()),
    praise=praise,
    leaves_nothing=2,
    virtual=True,
)

FIGURES = (Figure("retries", "Retries are", "of all calls", 0.091),)
