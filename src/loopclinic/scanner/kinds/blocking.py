"""Detector: blocking calls on the event loop, directly or through sync functions."""

import re
from collections.abc import Iterator
from dataclasses import replace

from loopclinic.blocking_calls import Leaf, words
from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.call_graph import colored
from loopclinic.scanner.detector_input import Survey
from loopclinic.scanner.event_outcomes import Outcome, ends_executor
from loopclinic.scanner.facts.fact_records import AWAITED, AWAITS_INSIDE, IN_LOOP, Event, Function
from loopclinic.scanner.facts.values import Value, dotted, tail
from loopclinic.scanner.finding import Finding, weakest

_ENDING = re.compile(r"_*(a?close|stop|shutdown|terminate|teardown)(_|$)|__a?exit__")
_OF_ITS_OWN = ("rmtree", "open", "copyfileobj")
"""Calls for which a program's own files and folders are few and small."""
_PARTS = re.compile(r"plugin|extension|add_?on|skill", re.IGNORECASE)
"""Names of functions that remove a part of the program, which is seldom and a few files."""
_WAITED = re.compile(r"concurrent\.futures\.(?!\w*Executor)")
"""What waits for all that an executor was given, before it is left."""
_CLIENT = "Making an HTTP client"
_WHEN_READY = frozenset({"add_reader", "add_writer", "add_handler"})


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield one finding for each call in async code that blocks."""
    handed = [(file, index, event, outcomes) for file, index, event, outcomes in survey.handed]
    for file, index in survey.roots:
        steps = survey.graph.steps.get((file, index), ())
        handed += [(file, index, event, outcomes) for event, outcomes in steps]
        yield from _locks(survey, file, index)
    best = [(*one, _best(survey, one[0], one[2], one[3])) for one in handed]
    waits = {
        (file, index): event.line
        for file, index, event, _, found in best
        if found is not None and _WAITED.match(found[1].name)
    }
    for file, index, event, outcomes, found in best:
        if found is not None:
            outcome, leaf, sure = found
            if ends_executor(leaf) and waits.get((file, index), 0) >= event.line:
                continue  # all that the executor was given is over when it is left
            ready = leaf.kind == "blocking-net" or leaf.name in ("os.read", "os.write")
            if ready and tail(event.value) in _WHEN_READY:
                continue  # it is called when the descriptor is ready
            sure = sure if _agree(survey, outcomes) else weakest(sure, "likely")
            yield _finding(survey, file, index, event, (outcome, leaf, sure))
    for file, one in survey.patterns("cpu-bound"):
        message = "This many turns of a loop without an await; move it to a process."
        yield survey.finding(file, one.function, one, "cpu-bound", message, "hint")


def _best(
    survey: Survey, file: int, event: Event, outcomes: list[Outcome]
) -> tuple[Outcome, Leaf, str] | None:
    """Return the heaviest leaf that the event leads to, by what, and how sure that is; hints come last."""
    best: tuple[tuple[bool, int, int, int], Outcome, Leaf, str] | None = None
    for one in outcomes:
        if one.leaf is not None:
            leaf, depth, sure = colored(one.leaf, event), 0, one.confidence
        else:
            witness = survey.graph.witnesses.get((one.file, one.function))
            if witness is None or _by_a_sibling(survey, file, event, one):
                continue
            leaf, depth = colored(witness.leaf, event), witness.depth
            sure = weakest(one.confidence, witness.confidence)
        order = (sure == "hint", -leaf.weight, depth, CONFLICTS[leaf.kind].rank)
        if best is None or order < best[0]:
            best = (order, one, leaf, sure)
    return best[1:] if best is not None else None


def _by_a_sibling(survey: Survey, file: int, event: Event, outcome: Outcome) -> bool:
    """Return whether the way leads through an override in a class that the receiver is not."""
    project = survey.project
    family: set[tuple[int, int]] = set()
    for one in survey.evaluate(file, event.value):
        if one[0] == "B":
            family.update(more[1:3] for more in project.ancestors(*one[3:5]) if more[0] == "C")
            family.update(project.children(*one[3:5]))
    node: tuple[int, int] | None = (outcome.file, outcome.function)
    while family and node is not None:
        witness = survey.graph.witnesses[node]
        value = witness.event.value if witness.event is not None else None
        if witness.to is None or value is None or value[0] != "a" or value[1][:1] != ("self",):
            return False
        node = witness.to
        owner = project.function(*node).owner
        if owner is not None and (node[0], owner) not in family:
            return True
    return False


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
    if leaf.cause:
        what += f" ({leaf.cause[:1].lower()}{leaf.cause[1:].rstrip(',')})"
    if len(chain) == 1:
        message = f"{leaf.name} {what}: {leaf.remedy}."
    else:
        message = f"{chain[0].call} leads to {leaf.name}, which {what}: {leaf.remedy}."
    confidence = weakest(sure, leaf.confidence)
    function = survey.project.function(file, index)
    ends = leaf.name.endswith("Executor.shutdown") and _ENDING.match(function.name)
    if ends or (not event.flags & IN_LOOP and _goes_round(survey, function)):
        leaf = replace(leaf, own_weight=0, small=False)  # once, at the begin or the end
    rare = survey.contexts.restricted(file, index) and leaf.name.endswith(_OF_ITS_OWN)
    of_part = leaf.name == "shutil.rmtree" and any(_PARTS.search(one.function) for one in chain)
    if (rare or of_part) and _only_files_of_its_own(survey, outcome):
        leaf = replace(leaf, own_weight=0, small=False)
    if leaf.small and len(chain) == 1:
        entry, _ = function.entry
        kept = event.value is not None and event.value[0] == "a" and _is_member(event.value[1])
        client = leaf.cause.startswith(_CLIENT)
        asked = entry in ("request", "bot") and (client or _carries(survey, file, index))
        if asked or kept:  # what each call brings along, or what is read piece by piece
            leaf = replace(leaf, own_weight=1)
    return survey.finding(file, index, event, leaf.kind, message, confidence, chain, leaf.weight)


def _goes_round(survey: Survey, function: Function) -> bool:
    """Return whether a function is a worker that turns in its loop for good: nothing waits for its result."""
    if function.entry[0] != "worker" or function.decorators:
        return False
    return not any(event.flags & AWAITED for *_, event in survey.calls_of([function.name]))


def _only_files_of_its_own(survey: Survey, outcome: Outcome) -> bool:
    """Return whether a call leads to nothing but files and folders of the program's own, which are few."""
    node: tuple[int, int] | None = (outcome.file, outcome.function)
    while node in survey.graph.witnesses:
        for event, found in survey.graph.steps[node]:
            leaves = [colored(one.leaf, event) for one in found if one.leaf is not None]
            if any(one.weight and not one.name.endswith(_OF_ITS_OWN) for one in leaves):
                return False
        node = survey.graph.witnesses[node].to
    return True


def _carries(survey: Survey, file: int, index: int) -> bool:
    """Return whether a function writes what it was given or has awaited, or reads a whole binary file."""
    for event in survey.project.function(file, index).events:
        name = tail(event.value)
        if name == "read_bytes" or (
            name.startswith("write") and any(_mentions(value) for _, value in event.args)
        ):
            return True
    return False


def _mentions(value: object) -> bool:
    return isinstance(value, tuple) and (
        value[:1] in (("p",), ("w",), ("I",)) or any(map(_mentions, value))
    )


def _is_member(value: Value) -> bool:
    return value is not None and value[0] == "a" and value[1][0] == "self"


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
