"""Experiments of notebook 05: requests over time, one connection, shapes of a batch, a benchmark."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import aiohttp

from loopclinic.drawing.charts import COLORS, Series, Strip, legend, scale, strips
from loopclinic.drawing.tables import Drawing, Drawn, span
from loopclinic.lessons.core.call import now
from loopclinic.lessons.schedules.search import Schedule, in_virtual_time
from loopclinic.lessons.sequential_awaits.ladder import COSTS, Handle, one_by_one
from loopclinic.lessons.story.kernel_database import KernelDatabase
from loopclinic.lessons.story.other_tools import Opinion, debug_run, linter, opinions
from loopclinic.lessons.story.race import Column, Race, Result
from loopclinic.load.variant import name_of
from loopclinic.servers import FaultyUpstream, Upstream
from loopclinic.servers.upstream import SECONDS
from loopclinic.timeline import Timeline
from loopclinic.units import count

Way = Callable[..., Coroutine[Any, Any, Any]]
"""`await way(batch, handle, limit=...)`."""

SENDERS = "AABACADAEAFABACADAEAFBCA"
"""Of 24 messages; Ada wrote every second one."""
NAMES = {name[0]: name for name in ("Ada", "Ben", "Cem", "Dora", "Ed", "Fay")}
LATENCIES = (0.16, 0.04, 0.08, 0.04, 0.08)
"""Seconds of the requests, in turns: 80 ms on average."""
CLAIMED = 3, 10
"""Times as fast: what a team said of its webhooks."""
_LATER, _LIMIT = 2.0, 10
_database = KernelDatabase("sequential_awaits", lambda _: None)

database = _database.address
"""`await database()` gives the address of an empty PostgreSQL; it ends with the kernel."""


class Message(NamedTuple):
    """What a sender wrote; None for an event without a text."""

    id: int
    sender: str
    text: str | None


def webhook(senders: str = SENDERS) -> list[Message]:
    """Return a batch: a letter for the sender of each message. Every fourth has no text."""
    return [
        Message(number, NAMES.get(one, one), f"message {number}" if number % 4 else None)
        for number, one in enumerate(senders, 1)
    ]


def _added_up(seconds: Mapping[Message, float]) -> dict[str, float]:
    """Return seconds by sender, the most first."""
    found: dict[str, float] = {}
    for message, spent in seconds.items():
        found[message.sender] = found.get(message.sender, 0.0) + spent
    return dict(sorted(found.items(), key=lambda one: -one[1]))


class Request(NamedTuple):
    """When the request for a message began and was over, in seconds, and whether it failed."""

    began: float
    over: float
    failed: bool


Made = dict[int, Request]


@dataclass(frozen=True, repr=False)
class Run(Drawn):
    """What became of a batch: its requests by message, and what the caller got."""

    name: str
    batch: Sequence[Message]
    seconds: float
    gets: str
    requests: Mapping[int, Request]

    @property
    def overtook(self) -> set[int]:
        """Messages whose request began before an earlier one of the same sender was over."""
        made, at = [one for one in self.batch if one.id in self.requests], self.requests
        return {
            later.id
            for earlier, later in itertools.combinations(made, 2)
            if earlier.sender == later.sender and at[later.id].began < at[earlier.id].over
        }

    @property
    def chains(self) -> Mapping[str, float]:
        """Seconds that the requests for each sender take one after another, the longest first."""
        at = self.requests
        spent = {one: at[one.id].over - at[one.id].began for one in self.batch if one.id in at}
        return _added_up(spent)

    def __str__(self) -> str:
        late = sum(one.over > self.seconds for one in self.requests.values())
        later = f" {count(late, 'request')} came to an end later, unnoticed." if late else ""
        return (
            f"{self.name}: after {span(self.seconds)} the caller gets {self.gets}. {len(self.requests)} of "
            f"{len(self.batch)} handled; {len(self.overtook)} overtook one of the same person.{later}"
        )

    def drawing(self) -> Drawing:
        """Draw a line for each request, a person's below each other."""
        html = _legend(blue="in order", reset="overtook one of the same person", refused="failed")
        html += f"<p>{escape(str(self))}</p>{_lines(self) if self.requests else ''}"
        return Drawing(html, str(self))


def _legend(**words: str) -> str:
    return legend(*((COLORS[color], said) for color, said in words.items()), between=" &ensp; ")


def _lines(run: Run) -> str:
    """Return an SVG with a line for each request of a run."""
    end = max(one.over for one in run.requests.values())
    sender_of = {one.id: one.sender for one in run.batch}
    names, size = [*run.chains], len(run.requests)
    made = sorted(run.requests, key=lambda number: (names.index(sender_of[number]), number))
    lines, firsts = [], dict[str, float]()
    for height, number in zip(range(size, 0, -1), made, strict=True):
        one = run.requests[number]
        color = "refused" if one.failed else "reset" if number in run.overtook else "blue"
        ends = [(at, float(height)) for at in (one.began, one.over)]
        lines.append(Series(ends, COLORS[color], dots=True))
        firsts.setdefault(sender_of[number], height)
    at = {height: name for name, height in firsts.items()}
    chart = Strip("", lines, size + 1.0, ticks=[*at], height=9 * size, write=at.__getitem__)
    longest = run.chains[names[0]]
    marks = [(longest, f"all requests of {names[0]}, in a row")] if longest <= end else []
    across: dict[str, Any] = {"low": 0, "high": 1.02 * end, "ticks": scale(end, 8)}
    return strips([chart], **across, label="seconds", marks=marks)


@asynccontextmanager
async def upstream(url: str = "", failing: int = 0) -> AsyncIterator[tuple[Handle, Made]]:
    """Give `handle(message)`, which asks the service at `url` or one of one's own, and what it notes.

    The service answers 503 for the message of the number `failing`.
    """
    made: Made = {}
    async with AsyncExitStack() as stack:
        service = Upstream(url) if url else await stack.enter_async_context(FaultyUpstream())
        await service.reset()
        await service.set(**({"status": 503, "status_for": f"[{failing}, "} if failing else {}))
        session = await stack.enter_async_context(aiohttp.ClientSession(service.url))
        async with session.get("/warm-up") as answer:
            await answer.read()
        start = time.perf_counter()

        async def handle(message: Message) -> str:
            began, well = time.perf_counter() - start, False
            headers = {SECONDS: str(LATENCIES[message.id % len(LATENCIES)])}
            try:
                body = json.dumps(message).encode()
                async with session.post("/v1/messages", data=body, headers=headers) as response:
                    response.raise_for_status()
                    reply, well = await response.text(), True
                    return reply
            finally:
                made[message.id] = Request(began, time.perf_counter() - start, not well)

        yield handle, made


async def process_here(
    way: Way, *, failing: int = 0, lanes: bool = False, url: str = "", limit: int = _LIMIT
) -> Run:
    """Process the webhook's batch on the running loop; what is left at work has two seconds more.

    With `lanes` a Timeline records it meanwhile, and draws itself in a notebook.
    """
    batch, others = webhook(), asyncio.all_tasks()
    async with upstream(url, failing) as (handle, made):
        began = time.perf_counter()
        try:
            with Timeline() if lanes else nullcontext():
                work = way(batch, handle, limit=limit)
                result = await asyncio.create_task(work, name=name_of(way))
            errors = [one for one in result or () if isinstance(one, Exception)]
            gets = "a list with an error in it" if errors else "no error"
            if isinstance(result, dict) and result:
                gets = f"the failed messages: {[*result]}"
        except Exception as error:
            gets = type(error).__name__
        seconds = time.perf_counter() - began
        if left := asyncio.all_tasks() - others:
            await asyncio.wait(left, timeout=_LATER)
    return Run(name_of(way), batch, seconds, gets, made)


# What the speed-up depends on.


def speed_ups(way: Way, shares: Sequence[int] = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24)) -> Drawing:
    """Draw how many times faster than `one_by_one` a way is, by how many of 24 messages are one sender's.

    Exact, in virtual time; each request takes as long as any other.
    """

    async def play(_: Schedule) -> list[float]:
        return [await _seconds(one_by_one, share) / await _seconds(way, share) for share in shares]

    dots = [*zip(map(float, shares), in_virtual_time(play), strict=True)]
    lines = [Series([(1, at), (24, at)], COLORS["reset"]) for at in CLAIMED]
    lines.append(Series(dots, COLORS["blue"], line=False, dots=True))
    lines.append(Series([(n, 24 / n) for n in range(1, 25)], COLORS["muted"], dashed=True))
    times, ticks = "times as fast as one by one", [1, *CLAIMED, 24]
    chart = Strip(times, lines, 30, 0.8, log=True, ticks=ticks, height=150)
    name, busiest = name_of(way), "messages of the busiest person, of 24"
    html = _legend(blue=name, muted="bound", reset="claimed: 3 and 10")
    html += strips([chart], low=1, high=24, ticks=shares, label=busiest, title=busiest)
    words = ", ".join(f"{share:.0f} of 24: {times:.1f} x" for share, times in dots)
    return Drawing(html, f"{name}, order kept, by {busiest}: {words}.")


async def _seconds(way: Way, share: int) -> float:
    """Return how long a way takes for 24 messages, of which `share` are one sender's, 1 s each."""
    batch = webhook("A" * share + "".join(chr(66 + n) for n in range(24 - share)))
    began = now()
    await way(batch, lambda _: asyncio.sleep(1), limit=24)
    return now() - began


# Diagnosis and race.


async def awaiting(url: str) -> dict[str, Any]:
    """Process the batch by the anti-pattern, in a process of its own."""
    return {"handled": len((await process_here(one_by_one, url=url)).requests)}


async def diagnose(function: Way, run: Run) -> Drawing:
    """Ask each tool about `function`, and about its `run`; about three seconds."""
    async with FaultyUpstream() as service:
        found, linted = await asyncio.gather(
            debug_run(awaiting, url=service.url),
            linter(function, "-", "that the messages need nothing of each other"),
        )
    total, longest = sum(run.chains.values()), max(run.chains.values())
    says = f"{span(total)} in a row; the longest sender has {span(longest)}"
    return opinions(
        found.debug_mode("-", "everything: no step is slow"),
        found.cpu_graph("that somebody waits"),
        linted,
        Opinion("arithmetic", "seconds by sender, added up", says, "what can be gained", "-"),
    )


async def measure(way: Way, *, url: str, limit: int = _LIMIT) -> Mapping[str, Any]:
    """Return the rate of a way, what it handled and what overtook."""
    run = await process_here(way, url=url, limit=limit)
    handled, seconds = len(run.requests), run.seconds
    figures = {"handled": handled, "rate": handled / seconds, "seconds": seconds}
    return {**figures, "overtook": len(run.overtook)}


def _bound(found: Result) -> tuple[float, str]:
    batch, limit = webhook(), found.given.get("limit", _LIMIT)
    asked = _added_up({one: LATENCIES[one.id % len(LATENCIES)] for one in batch})
    (sender, longest), total = next(iter(asked.items())), sum(asked.values())
    words = f"The bound is that of order: the service takes {span(longest)} for {sender}, message by message."
    if total / limit > longest:
        longest, words = total / limit, f"The bound is {span(total)} of requests at {limit} places."
    return len(batch) / longest, words


def _sentence(found: Result) -> str:
    first, *others = found.runners
    seconds = first.typical("seconds")
    said = [
        f"{one.name} is {seconds / one.typical('seconds'):.1f} times as fast as {first.name}"
        for one in others
        if not one.typical("overtook")
    ]
    above = ", ".join(one.name for one in others if one.typical("overtook"))
    kept = f"Order kept, {', '.join(said)}."
    return f"{kept} Above the bound is only what breaks the order: {above}." if above else kept


race = Race(
    measure,
    service=FaultyUpstream,
    columns=(
        Column("Messages/s", "rate", spread=True),
        Column("Answer after", "seconds", span),
        Column("Handled of 24", "handled"),
        Column("Overtook", "overtook", most=True),
    ),
    costs=COSTS,
    bound=_bound,
    good=lambda one: not one.typical("overtook"),
    sentence=_sentence,
)
"""Lets each way process the batch, in a process of its own, in turns; the first is compared with."""
