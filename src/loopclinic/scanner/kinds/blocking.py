"""What blocks the loop: calls of the catalogue, directly or through sync functions."""

from collections.abc import Iterator

from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.catalogue import Leaf
from loopclinic.scanner.facts.record import AWAITS_INSIDE, Event
from loopclinic.scanner.facts.values import dotted
from loopclinic.scanner.findings import Finding, weakest
from loopclinic.scanner.graph import colored
from loopclinic.scanner.outcomes import Outcome
from loopclinic.scanner.survey import Survey

__all__ = ["detect"]

_INSTEAD = {
    "blocking-sleep": "await asyncio.sleep() instead",
    "blocking-retry": "make the wait `await asyncio.sleep()`, and await whoever waits",
    "blocking-db": "use an async driver, or one hop to a thread for the whole unit of work",
    "blocking-redis": "use redis.asyncio",
    "blocking-sdk": "use the vendor's async client, or `await asyncio.to_thread(...)`",
    "blocking-http": "use an async client, such as httpx.AsyncClient or aiohttp",
    "blocking-file-io": "one hop to a thread for the whole file, or aiofiles",
    "blocking-net": "use asyncio's streams, or a thread",
    "blocking-subprocess": "use asyncio.create_subprocess_exec",
    "blocking-input": "read in a thread",
    "blocking-sync-primitive": "use asyncio's own, or wait in a thread",
    "cpu-bound": "move it to a thread if it lets go of the GIL, else to a process",
}


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield one finding for each call in async code that blocks."""
    for file, index in survey.roots:
        for event, outcomes in survey.graph.steps.get((file, index), ()):
            found = _best(survey, event, outcomes)
            if found is not None:
                yield _finding(survey, file, index, event, found)
        yield from _locks(survey, file, index)
    for file, one in survey.patterns("cpu-bound"):
        message = "This many turns of a loop without an await; move it to a process."
        yield survey.finding(file, one.function, one, "cpu-bound", message, "hint")


def _best(
    survey: Survey, event: Event, outcomes: list[Outcome]
) -> tuple[Outcome, Leaf, str] | None:
    """Return what the event leads to soonest, its leaf, and how sure that is; hints come last."""
    best: tuple[tuple[bool, int, int], Outcome, Leaf, str] | None = None
    for one in outcomes:
        if one.leaf is not None:
            leaf, depth, sure = colored(one.leaf, event), 0, one.confidence
        else:
            witness = survey.graph.witnesses.get((one.file, one.function))
            if witness is None:
                continue
            leaf, depth = colored(witness.leaf, event), witness.depth
            sure = weakest(one.confidence, witness.confidence)
        order = (sure == "hint", depth, CONFLICTS[leaf.kind].rank)
        if best is None or order < best[0]:
            best = (order, one, leaf, sure)
    return best[1:] if best is not None else None


def _finding(
    survey: Survey,
    file: int,
    index: int,
    event: Event,
    best: tuple[Outcome, Leaf, str],
) -> Finding:
    outcome, leaf, sure = best
    chain = survey.graph.chain(file, index, event, outcome)
    what, instead = "blocks the loop", _INSTEAD.get(leaf.kind, "keep it off the loop")
    if leaf.kind == "nested-loop":
        what, instead = "fails where a loop runs", "await what it runs"
    if len(chain) == 1:
        message = f"{leaf.name} {what}: {instead}."
    else:
        message = f"{dotted(event.value)} leads to {leaf.name}, which {what}: {instead}."
    confidence = weakest(sure, leaf.confidence)
    return survey.finding(file, index, event, leaf.kind, message, confidence, chain)


def _locks(survey: Survey, file: int, index: int) -> Iterator[Finding]:
    """A threading lock that is held while the coroutine is suspended."""
    for event in survey.project.function(file, index).events:
        if event.op == "with" and event.flags & AWAITS_INSIDE:
            for one in survey.evaluate(file, event.value):
                entry = survey.catalogue.classes.get(one[1]) if one[0] == "O" else None
                if entry is not None and entry.thread_lock:
                    message = (
                        f"{dotted(event.value)} is a {entry.path}, held across an await: "
                        "use asyncio.Lock with `async with`."
                    )
                    yield survey.finding(file, index, event, "thread-lock-in-async", message)
                    break
