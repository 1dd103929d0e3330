"""Detector: blocking calls on the event loop, directly or through sync functions."""

from collections.abc import Iterator

from loopclinic.blocking_calls import Leaf, words
from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.call_graph import colored
from loopclinic.scanner.detector_input import Survey
from loopclinic.scanner.event_outcomes import Outcome
from loopclinic.scanner.facts.fact_records import AWAITS_INSIDE, Event
from loopclinic.scanner.facts.values import dotted, tail
from loopclinic.scanner.finding import Finding, weakest

_WHEN_READY = frozenset({"add_reader", "add_writer", "add_handler"})


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield one finding for each call in async code that blocks."""
    handed = [(file, index, event, outcomes) for file, index, event, outcomes in survey.handed]
    for file, index in survey.roots:
        steps = survey.graph.steps.get((file, index), ())
        handed += [(file, index, event, outcomes) for event, outcomes in steps]
        yield from _locks(survey, file, index)
    for file, index, event, outcomes in handed:
        found = _best(survey, event, outcomes)
        if found is not None:
            outcome, leaf, sure = found
            if leaf.kind == "blocking-net" and tail(event.value) in _WHEN_READY:
                continue  # it is called when the socket is ready
            sure = sure if _agree(survey, outcomes) else weakest(sure, "likely")
            yield _finding(survey, file, index, event, (outcome, leaf, sure))
    for file, one in survey.patterns("cpu-bound"):
        message = "This many turns of a loop without an await; move it to a process."
        yield survey.finding(file, one.function, one, "cpu-bound", message, "hint")


def _best(
    survey: Survey, event: Event, outcomes: list[Outcome]
) -> tuple[Outcome, Leaf, str] | None:
    """Return the heaviest leaf that the event leads to, by what, and how sure that is; hints come last."""
    best: tuple[tuple[bool, int, int, int], Outcome, Leaf, str] | None = None
    for one in outcomes:
        if one.leaf is not None:
            leaf, depth, sure = colored(one.leaf, event), 0, one.confidence
        else:
            witness = survey.graph.witnesses.get((one.file, one.function))
            if witness is None:
                continue
            leaf, depth = colored(witness.leaf, event), witness.depth
            sure = weakest(one.confidence, witness.confidence)
        order = (sure == "hint", -leaf.weight, depth, CONFLICTS[leaf.kind].rank)
        if best is None or order < best[0]:
            best = (order, one, leaf, sure)
    return best[1:] if best is not None else None


def _agree(survey: Survey, outcomes: list[Outcome]) -> bool:
    """Return whether all of the functions that an event may call block."""
    blocking = {
        one.candidate
        for one in outcomes
        if one.leaf is not None or (one.file, one.function) in survey.graph.witnesses
    }
    return len(blocking) == max(one.candidates for one in outcomes)


def _finding(
    survey: Survey,
    file: int,
    index: int,
    event: Event,
    best: tuple[Outcome, Leaf, str],
) -> Finding:
    outcome, leaf, sure = best
    chain = tuple(survey.graph.chain(file, index, event, outcome))
    what = "fails where a loop runs" if leaf.kind == "nested-loop" else "blocks the loop"
    if len(chain) == 1:
        message = f"{leaf.name} {what}: {leaf.remedy}."
    else:
        message = f"{dotted(event.value)} leads to {leaf.name}, which {what}: {leaf.remedy}."
    confidence = weakest(sure, leaf.confidence)
    return survey.finding(file, index, event, leaf.kind, message, confidence, chain, leaf.weight)


def _locks(survey: Survey, file: int, index: int) -> Iterator[Finding]:
    """Yield threading locks that are held while the coroutine is suspended."""
    for event in survey.project.function(file, index).events:
        if event.op == "with" and event.flags & AWAITS_INSIDE:
            for one in survey.evaluate(file, event.value):
                if one[0] == "O" and survey.catalogue.cls(one[1]).thread_lock:
                    lock = survey.catalogue.cls(one[1]).path
                    message = (
                        f"{dotted(event.value)} is a {lock}, held across an await: "
                        f"{words('thread-lock-in-async')[1]}."
                    )
                    yield survey.finding(file, index, event, "thread-lock-in-async", message)
                    break
