"""The check of lab 05: seeded batches, requests that fail, batches of known shape, cancelled calls."""

import asyncio
import itertools
import linecache
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from loopclinic.lessons.core import (
    Broken,
    Budget,
    Call,
    Check,
    Ending,
    Judged,
    Kept,
    Left,
    Place,
    Said,
    Scene,
)
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.stacks import defined_at, line_at, stands_at
from loopclinic.lessons.core.verdicts import broke, cancelled_cleanly
from loopclinic.units import count, span

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

LONG = Budget(
    1.25,
    "x what its shape asks for",
    "Virtual time, so exact. A right answer needs 1.14 at most, for two slow senders that start late; the "
    "mildest half-fix, which leaves one of four places empty, 1.52.",
)
CANCEL = Budget(
    0.5, "s", "The slowest request under way needs 0.3 s to end; a call that goes on takes seconds."
)

SEEDS = 50
"""Batches of a scene. Of the half-fixes, the luckiest is wrong in every fifth."""
_LATENCIES = (0.1, 0.2, 0.2, 0.3, 1.0)
"""Seconds of a request, in virtual time."""
_PATIENCE = 60.0
"""Virtual seconds after which a call is given up: the longest batch takes 10 one after the other."""
_LATER = 20.0
"""Seconds in which what was left at work comes to its end."""
_CLEARS_UP = 0.1
"""Seconds that a cancelled request needs to end, at least."""
_LET_THROUGH = "Let CancelledError pass: catch Exception around a message, and shield no request."
_GIVES_BACK = "Give back the place and the turn of a failed message, too: others wait for them. `async with` does."
_OWNED = "Start the tasks in a TaskGroup: cancelled, it waits for each of them. gather, wait and shield do not."

_sleep, _wait = asyncio.sleep, asyncio.wait

Batch = Sequence[Any]
"""Messages of the lab."""


@dataclass
class Handler:
    """Stands for the upstream: takes its seconds for a message, or fails, and notes what came when."""

    batch: Batch
    seconds: Mapping[int, float]
    """Of the request for a message, by id."""
    failing: Mapping[int, Exception] = field(default_factory=dict)
    began: list[int] = field(default_factory=list)
    """Ids, in order."""
    steps: list[tuple[str, int]] = field(default_factory=list)
    """What began and what was over, by id, in order."""
    cut: list[int] = field(default_factory=list)
    """Ids of messages whose request was cancelled."""
    open: int = 0
    most: int = 0
    line: Place | None = None
    """The learner's line that calls it."""

    def __call__(self, message: Any) -> Awaitable[str]:
        """Return the request, to be awaited."""
        self.line = self.line or stands_at(sys._getframe(1))  # noqa: SLF001 - documented
        return self._request(message.id)

    async def _request(self, number: int) -> str:
        self.began.append(number)
        self.steps.append(("began", number))
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await _sleep(self.seconds[number])
        except asyncio.CancelledError:
            self.cut.append(number)
            # Unlike times: a call that ends with the first of them leaves the others open.
            await _sleep(_CLEARS_UP * (1 + number % 3))
            raise
        finally:
            self.open -= 1
            self.steps.append(("over", number))
        if number in self.failing:
            raise self.failing[number]
        return _reply(number)

    @property
    def over(self) -> int:
        """How many messages have been handled."""
        return len({number for what, number in self.steps if what == "over"})

    def overtaken(self) -> str:
        """Return which message of a sender began too early; nothing if none did."""
        first = {step: place for place, step in reversed([*enumerate(self.steps)])}
        for sender in dict.fromkeys(one.sender for one in self.batch):
            chain = [one.id for one in self.batch if one.sender == sender and one.id in self.began]
            for earlier, later in itertools.pairwise(chain):
                if first["began", later] < first.get(("over", earlier), len(self.steps)):
                    return f"message {later} of {sender} began before message {earlier}, which came first, was over"
        return ""


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks a promise, in how many batches, and how it went in the smallest of them."""

    kind: str
    batches: int
    words: str
    place: Place | None


# Of each kind of fault: the promise that it breaks, its conflict, what happened, and what to do.
_FAULTS: dict[str, tuple[int, str | None, str, str]] = {
    "ended": (
        *(1, None, "process did not return"),
        "Return an Outcome when the last request is over.",
    ),
    "missing": (
        *(1, None, "Messages were not handled"),
        "Hand each message to `handle`, whatever its text, and give it the time that it takes.",
    ),
    "twice": (
        *(1, None, "A message was handled more than once"),
        "Call `handle` once for each message.",
    ),
    "early": (
        *(1, "dropped-task", "process returned before its requests were over"),
        "Await every task that you start, as a TaskGroup does at the end of its block.",
    ),
    "order": (
        *(2, "order-broken", "A sender's messages overtook each other"),
        "Let one task await a sender's messages in a `for`, or hold one lock for each sender.",
    ),
    "crowd": (
        *(3, "unbounded-gather", "More than `limit` messages were handled at once"),
        "Share one asyncio.Semaphore(limit) among all messages, and hold it around `handle`.",
    ),
    "stopped": (
        *(4, "unisolated-failure", "A failed message stopped others, or the whole call,"),
        "Catch what a message raises around that message, inside the loop over its sender's messages.",
    ),
    "again": (
        *(5, None, "A message that had failed was handled again"),
        "Note a failure, and go on with the next message.",
    ),
    "dropped": (
        *(5, "dropped-gather-results", "Failures are missing from the outcome"),
        "Look at each result of gather, or note the error in `failed` where the message is handled.",
    ),
    "results": (
        *(5, None, "The outcome is wrong"),
        "Set `replies[message.id]` or `failed[message.id]` where the message is handled.",
    ),
}


_MAY_FOLLOW = {"stopped", "again"}
"""Kinds that say nothing where messages are left out or handled twice anyway."""


class _Process(Call):
    """A call of process."""

    def __init__(self, lab: ModuleType, handler: Handler, limit: int) -> None:
        super().__init__(lambda: lab.process(handler.batch, handler, limit=limit), "process")

    def shown(self, value: Any) -> str:
        """Return what is said of a value that it returned: an outcome is long."""
        return "an Outcome" if hasattr(value, "replies") else super().shown(value)


class _Played(Scene["_Played.Found"]):
    """Batches that are drawn from seeds, with a share of requests that fail."""

    fails: ClassVar[float]
    where: ClassVar[str]

    @dataclass(frozen=True, slots=True)
    class Found:
        """How many batches were played, and what was wrong with them."""

        batches: int
        faults: tuple[Fault, ...]

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        """Play each batch; of each kind of fault keep the smallest that shows it."""
        drawn = [_drawn(lab, stage.rng.getrandbits(32), self.fails) for _ in range(SEEDS)]
        found: dict[str, list[tuple[int, int, str, Place | None]]] = {}
        # The largest limit first: some lab may keep the one of its first call.
        for number, (limit, handler) in enumerate(sorted(drawn, key=lambda one: -one[0])):
            size = len(handler.batch)
            for kind, (words, place) in (await _wrong(lab, limit, handler)).items():
                said = f"{count(size, 'message')} and a limit of {limit}: {words}"
                found.setdefault(kind, []).append((size, number, said, place))
        faults = (Fault(kind, len(them), *min(them)[2:]) for kind, them in found.items())
        return self.Found(SEEDS, tuple(faults))

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        """Judge each kind of fault, but for what only follows from another one."""
        faults = {one.kind: one for one in found.faults}
        broken = set()
        for kind, (promise, conflict, what, step) in _FAULTS.items():
            one = faults.get(kind)
            if one is None or promise in broken or judged.breaks(promise):
                continue
            if judged.breaks(1) and kind in _MAY_FOLLOW:
                continue
            broken.add(promise)
            cure = _GIVES_BACK if kind == "ended" and self.fails else step
            number = f"{one.batches} of {found.batches} batches"
            said = f"{what} in {number}{self.where}. The smallest has {one.words}."
            more = {"measured": number, "budget": "0 batches", "conflict": conflict}
            yield broke(promise, said, cure, one.place, **more)
            if cure == _GIVES_BACK:
                yield Broken(6)
        seen = {_FAULTS[kind][0] for kind in faults}
        if not {"ended", "missing", "stopped"}.isdisjoint(faults):
            seen.add(5)  # of a batch that did not end as it should, the results say nothing
        yield from (Kept(promise) for promise in self.promises if promise not in seen)


def _drawn(lab: ModuleType, seed: int, fails: float) -> tuple[int, Handler]:
    """Return a limit, and what handles a batch: small ones, so that the smallest is short."""
    rng = Random(seed)  # noqa: S311 - replayable chance is the point
    size = rng.choice((2, 3, 4, 6, 10))
    names = ("Ada", "Ben", "Cem", "Dora")[: rng.choice((1, 2, 3, 4))]
    ids = rng.sample(range(10, 100), size)
    texts = (None, "", "yes", "no", "hello")
    batch = [lab.Message(number, rng.choice(names), rng.choice(texts)) for number in ids]
    kinds = (ValueError, ConnectionResetError, TimeoutError, KeyError)
    failing = {number: rng.choice(kinds)("no") for number in ids if rng.random() < fails}
    seconds = {number: rng.choice(_LATENCIES) for number in ids}
    return rng.choice((1, 2, 3, 10)), Handler(batch, seconds, failing)


async def _wrong(
    lab: ModuleType, limit: int, handler: Handler
) -> dict[str, tuple[str, Place | None]]:
    """Play a batch; return words and line of what was wrong, by kind."""
    batch, failing = handler.batch, handler.failing
    call = _Process(lab, handler, limit)
    ending = await call.settled(_PATIENCE)
    left = len(batch) - handler.over
    if left:
        await _sleep(_LATER)
    line = handler.line or defined_at(lab.process)
    missing = [one for one in batch if one.id not in handler.began]
    cut = [one for one in batch if one.id in handler.cut]
    twice = [one for one in batch if handler.began.count(one.id) > 1]
    found: dict[str, tuple[str, Place | None]] = {}
    if ending.raised and failing:
        found["stopped"] = f"a message failed, and process {ending}", ending.place or line
    elif not ending.returned:
        found["ended"] = f"process {ending}", ending.place or line
    elif missing or cut:
        how = "was never handled" if missing else "was cancelled while it was handled"
        said = f"{_named((missing or cut)[0])} {how}"
        if failing:
            found["stopped"] = f"a message failed, and {said}", line
        else:
            found["missing"] = said, line
    elif left:
        found["early"] = f"{count(left, 'request')} came to an end later", line
    elif said := _unlike(handler, call.value):
        gathers = _gathers(lab) if said.startswith("`failed` lacks") else None
        found["dropped" if gathers else "results"] = said, gathers or line
    if twice:
        kind = "again" if all(one.id in failing for one in twice) else "twice"
        times = handler.began.count(twice[0].id)
        found[kind] = f"{_named(twice[0])} was handled {times} times", line
    if overtaken := handler.overtaken():
        found["order"] = overtaken, line
    if handler.most > limit:
        found["crowd"] = f"{handler.most} were handled at once", line
    return found


def _gathers(lab: ModuleType) -> Place | None:
    """Return the line that has gather return errors, None if there is none."""
    lines = linecache.getlines(str(lab.__file__))
    numbers = (at for at, line in enumerate(lines, 1) if "return_exceptions=True" in line)
    return next((line_at(str(lab.__file__), number) for number in numbers), None)


def _reply(number: int) -> str:
    return "" if number % 4 == 0 else f"reply to {number}"


def _named(one: Any) -> str:
    return f"message {one.id} of {one.sender}, with text {one.text!r},"


def _unlike(handler: Handler, outcome: Any) -> str:
    """Return how an outcome differs from what became of the messages, nothing if it does not."""
    replies, failed = (getattr(outcome, name, None) for name in ("replies", "failed"))
    if not isinstance(replies, Mapping) or not isinstance(failed, Mapping):
        return f"process returned {repr(outcome)[:80]}, which is no Outcome"
    for number in (one.id for one in handler.batch):
        error = handler.failing.get(number)
        due, other = (failed, replies) if error is not None else (replies, failed)
        name = "`failed`" if error is not None else "`replies`"
        made = f"`handle` {'returned' if error is None else 'raised'}"
        right = error if error is not None else _reply(number)
        if number not in due:
            return f"{name} lacks message {number}, for which {made} {right!r}"
        if due[number] is not error and due[number] != right:
            return f"{name} has {due[number]!r} for message {number}; {made} {right!r}"
        if number in other:
            return f"message {number} is in `replies` and in `failed`"
    more = (replies.keys() | failed.keys()) - {one.id for one in handler.batch}
    said = "the outcome has {!r}, which is no message of the batch"
    return said.format(min(more, key=repr)) if more else ""


class Batches(_Played):
    """Batches in which nothing fails."""

    title, promises, fails = f"{SEEDS} batches, drawn from seeds", (1, 2, 3, 5), 0.0
    where = ""


class Failures(_Played):
    """Batches in which some requests fail."""

    title, promises, fails = f"{SEEDS} batches with requests that fail", (1, 2, 3, 4, 5), 0.3
    where = " with requests that fail"


def _slow(seconds: float, every: int = 1, first: int = 0) -> Callable[[int], float]:
    """Return the seconds of the message at a place: so many for each `every`-th from `first` on, else one."""
    return lambda place: seconds if place % every == first else 1.0


_EVEN, _MORE = "1 s a request", "1 s a request, slow ones more"
_HALF, _FORTY = "AABACADAEAFABACADAEAFBCA", "".join(chr(65 + number) for number in range(40))
_IN_A_ROW = "A" * 8 + "B" * 8 + "C" * 8 + "D" * 8
_SHAPES: dict[str, tuple[str, int, Callable[[int], float]]] = {
    f"six senders with four messages each, {_EVEN}": ("ABCDEF" * 4, 10, _slow(1.0)),
    f"six senders, one of whom wrote half of 24 messages, {_EVEN}": (_HALF, 10, _slow(1.0)),
    f"one sender with ten messages, {_EVEN}": ("A" * 10, 10, _slow(1.0)),
    f"six senders with four messages each, limit 1, {_EVEN}": ("ABCDEF" * 4, 1, _slow(1.0)),
    f"four senders, limit 4, each with eight messages in a row, {_EVEN}": (
        _IN_A_ROW,
        4,
        _slow(1.0),
    ),
    f"six senders with six messages each, another one slow in each round, {_MORE}": (
        *("ABCDEF" * 6, 10, _slow(5.0, every=7)),
    ),
    f"40 senders with a message each, limit 5, every eighth slow, {_MORE}": (
        *(_FORTY, 5, _slow(3.0, every=8, first=2)),
    ),
    f"twelve senders with two messages each, limit 4, every fourth slow, {_MORE}": (
        *("ABCDEFGHIJKL" * 2, 4, _slow(4.0, every=4)),
    ),
}
"""What a batch is like: a letter for the sender of each message, the limit, seconds of the message at a place."""


class Shapes(Scene["Shapes.Found"]):
    """Batches of which the shape says how long they take."""

    title, promises = "eight batches of known shape", (6,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """The batch that took the longest, in times of what its shape asks for, and its seconds."""

        times: float
        what: str
        seconds: float
        returned: bool
        """Whether all calls did."""
        line: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        found, returned = list[Shapes.Found](), True
        for what, (senders, limit, seconds) in _SHAPES.items():
            batch = [lab.Message(n, sender, "hello") for n, sender in enumerate(senders)]
            handler = Handler(batch, {n: seconds(n) for n in range(len(batch))})
            chains = [
                sum(seconds(one.id) for one in batch if one.sender == name) for name in {*senders}
            ]
            bound = max(*chains, sum(chains) / limit)
            call = _Process(lab, handler, limit)
            async with stage.count_leftovers(call) as census:
                ending = await call.settled(2 * sum(chains))
            if not found:
                stage.vital(tasks=census.peak)
            returned, line = returned and ending.returned, handler.line or defined_at(lab.process)
            found.append(self.Found(ending.seconds / bound, what, ending.seconds, True, line))
        return replace(max(found, key=lambda one: one.times), returned=returned)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        """Judge the time of the worst; of a call that raised it says nothing."""
        if not found.returned:
            return
        if found.times > LONG.limit and not judged.breaks(1):
            said = f"A batch of {found.what}, took {span(found.seconds)}. Its shape asks for "
            said += f"{span(found.seconds / found.times)}."
            step = "Give each sender a task of its own. It waits for its own messages and for a place, and for "
            step += "nothing else."
            times = f"{found.times:.2f} x what its shape asks for"
            more = {"measured": times, "budget": str(LONG), "conflict": "sequential-awaits"}
            yield broke(6, said, step, found.line, **more)
        elif found.times <= LONG.limit:
            yield Kept(6)


class Cancelled(Scene["Cancelled.Found"]):
    """Calls that are cancelled while requests are under way."""

    title, promises = "calls that are cancelled", (7,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How the worst of the calls ended, and what went on afterwards."""

        ending: Ending
        left: Left
        began: int
        """Requests that began after its end."""
        open: int
        """Requests that were not over at its end."""

        @property
        def clean(self) -> bool:
            """Whether it ended at once, and all of its requests with it."""
            ended = self.ending.how == "cancelled" and self.ending.seconds <= CANCEL.limit
            return ended and not (self.left.tasks or self.began or self.open)

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found | None:
        """Cancel a call in its first requests, and one in the middle; return the first that went on."""
        found: list[Cancelled.Found] = []
        for after in (0.5, 2.5):
            batch = [lab.Message(n, sender, "hello") for n, sender in enumerate("ABCDEF" * 3)]
            handler = Handler(batch, dict.fromkeys(range(len(batch)), 1.0))
            call = _Process(lab, handler, 4)
            async with stage.count_leftovers(call) as census:
                await _wait([call.task], timeout=after)
                if call.done:
                    continue
                ending = await call.cancelled(2 * CANCEL.limit)
                began, still_open = len(handler.began), handler.open
                await _sleep(3.0)
            more = len(handler.began) - began
            found.append(self.Found(ending, census.left, more, still_open))
        return next((one for one in found if not one.clean), found[0] if found else None)

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        if judged.has("dropped-task"):
            return
        yield from cancelled_cleanly(
            found.ending,
            CANCEL,
            "A call was cancelled while requests were under way",
            promise=7,
            next_step=_LET_THROUGH,
            owned=_OWNED,
            sent=found.began,
            still_open=found.open,
            left=found.left,
        )


def praise(judged: Judged) -> str:
    """Return how many batches came out right, and how near to their shape they came."""
    times, many = judged.expect(Shapes).times, judged.expect(Batches).batches
    return (
        f"Right in {2 * many} batches, and never slower than {times:.2f} x what the shape asks for."
    )


CHECK = Check(scenes=(Batches(), Failures(), Shapes(), Cancelled()), praise=praise, virtual=True)

FIGURES = (Figure("tasks", "For 24 messages of six senders it starts", "tasks", 6.0),)
