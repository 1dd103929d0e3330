"""Detectors: `with` instead of `async with`, and circuit breakers made for threads."""

import re
from collections.abc import Iterator

from loopclinic.scanner.detector_input import Survey
from loopclinic.scanner.facts.fact_records import AWAITED, AWAITS_INSIDE, Event, Pattern
from loopclinic.scanner.facts.values import Value, dotted
from loopclinic.scanner.finding import Finding
from loopclinic.scanner.project import Type, functions_in

_BREAKER = re.compile("breaker", re.IGNORECASE)


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield guards that are entered, called or put around a function the sync way."""
    for file, one in survey.patterns("decorated"):
        yield from _breaker_decorator(survey, file, one)
    for file, index, function in survey.functions():
        for event in function.events:
            if event.op == "call" and function.is_async:
                yield from _breaker_call(survey, file, index, event)
            elif event.op == "with":
                yield from _mixed(survey, file, index, event, in_async=function.is_async)


def _mixed(
    survey: Survey, file: int, index: int, event: Event, *, in_async: bool
) -> Iterator[Finding]:
    """Yield each sync `with` on an object that offers `async with`."""
    sure = None
    for one in _entered(survey, file, event.value):
        offers = one[0] == "O" and survey.catalogue.cls(one[1]).async_with
        if offers or one[0] in ("A", "only"):
            sure = "certain"
        elif one[0] == "I" and in_async and survey.project.member(one[1], one[2], "__aenter__"):
            sure = _blocks_on_entry(survey, one)
    if sure is not None:
        message = f"{dotted(event.value)} is entered by `with`, and offers `async with`."
        yield survey.finding(file, index, event, "sync-cm-mixed", message, sure)
    elif in_async and event.flags & AWAITS_INSIDE:
        yield from _breaker_scope(survey, file, index, event)


def _blocks_on_entry(survey: Survey, one: Type) -> str:
    """Say how sure it is that a class with both forms should be entered by the async one."""
    methods = [
        method
        for name in ("__enter__", "__exit__")
        if (method := survey.project.method(one[1], one[2], name)) is not None
    ]
    if not methods:
        return "certain"
    blocks = any(method in survey.graph.witnesses for method in methods)
    return "likely" if blocks and not _blocks_too(survey, one) else "hint"


def _blocks_too(survey: Survey, one: Type) -> bool:
    """Return whether the async form blocks as well, so that nothing is won by it."""
    methods = (survey.project.method(one[1], one[2], name) for name in ("__aenter__", "__aexit__"))
    return any(
        outcome.leaf is not None or (outcome.file, outcome.function) in survey.graph.witnesses
        for method in methods
        if method is not None
        for _, outcomes in survey.graph.steps.get(method, ())
        for outcome in outcomes
    )


def _entered(survey: Survey, file: int, value: Value) -> Iterator[Type]:
    types = survey.evaluate(file, value)
    if not any(one[0] in ("S", "K") for one in types):
        yield from types
    if value is not None and value[0] == "c":
        for one in survey.evaluate(file, value[1]):
            if one[0] == "X":
                module, _, name = one[1].rpartition(".")
                entries = survey.catalogue.modules.get(module, [])
            elif one[0] == "OM":
                name, entries = one[2], [survey.catalogue.cls(one[1])]
            else:
                continue
            if any(name in entry.only_async_with for entry in entries):
                yield ("only",)


def _is_breaker(survey: Survey, one: Type) -> bool:
    if one[0] in ("O", "OM"):
        return survey.catalogue.cls(one[1]).breaker
    if one[0] == "I":
        return bool(_BREAKER.search(survey.project.cls(one[1], one[2]).name))
    return False


def _breaker_decorator(survey: Survey, file: int, one: Pattern) -> Iterator[Finding]:
    value = one.values[0]
    assert value is not None
    types = survey.evaluate(file, value)
    if value[0] == "c":
        types += survey.evaluate(file, value[1])
    if any(found[0] == "O" and _is_breaker(survey, found) for found in types):
        message = (
            f"{dotted(value)} calls {one.note} like a sync function: it sees a coroutine, never an "
            "error. Use a breaker that awaits."
        )
        yield survey.finding(file, one.function, one, "sync-circuit-breaker", message, "likely")


def _breaker_call(survey: Survey, file: int, index: int, event: Event) -> Iterator[Finding]:
    awaited = False
    for one in survey.evaluate(file, event.value):
        if one[0] == "B":
            owner = survey.project.cls(one[3], one[4])
            function = survey.project.function(one[1], one[2])
            if not _BREAKER.search(owner.name) or function.is_async:
                continue
            if not survey.types.functions.called_parameters(one[1], one[2]):
                continue
        elif one[0] == "I":
            if not _is_breaker(survey, one):
                continue
            method = survey.project.method(one[1], one[2], "__call__")
            if method is None or survey.project.function(*method).is_async:
                continue
        elif not (one[0] == "OM" and one[2] == "call" and _is_breaker(survey, one)):
            continue
        else:  # a library's returns what it was given: awaited, it was given something async
            awaited = bool(event.flags & AWAITED)
        if awaited or any(_gives_awaitable(survey, file, value) for _, value in event.args):
            message = (
                f"{dotted(event.value)} calls an async function like a sync one: it counts the "
                "coroutine as a success. Use a breaker that awaits."
            )
            yield survey.finding(file, index, event, "sync-circuit-breaker", message, "likely")
            return


def _gives_awaitable(survey: Survey, file: int, value: Value) -> bool:
    for one in survey.evaluate(file, value):
        if one[0] in ("F", "B"):
            if any(found[0] == "K" for found in survey.types.returned(one[1], one[2])):
                return True
        elif one[0] == "OM":
            if one[2] in survey.catalogue.cls(one[1]).awaits:
                return True
        elif one[0] == "K" or (
            one[0] == "P"
            and any(survey.project.function(*inner).is_async for inner in functions_in(one[1]))
        ):
            return True
    return False


def _breaker_scope(survey: Survey, file: int, index: int, event: Event) -> Iterator[Finding]:
    value = event.value
    guards = survey.evaluate(file, value)
    if value is not None and value[0] == "c":
        guards += tuple(one for one in survey.evaluate(file, value[1]) if one[0] == "OM")
    if any(_is_breaker(survey, one) for one in guards):
        message = f"{dotted(value)} is a sync breaker around an await: it blocks on its lock, or miscounts."
        yield survey.finding(file, index, event, "sync-circuit-breaker", message, "likely")
