"""Sync guards around async code: `with` where `async with` is offered, breakers made for threads."""

import re
from collections.abc import Iterator

from loopclinic.scanner.facts.record import AWAITS_INSIDE, Event, Pattern
from loopclinic.scanner.facts.values import Value, dotted
from loopclinic.scanner.findings import Finding
from loopclinic.scanner.project import Type
from loopclinic.scanner.survey import Survey

__all__ = ["detect"]

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
    """A sync `with` on what offers `async with`."""
    sure = None
    for one in _entered(survey, file, event.value):
        if one[0] == "A":
            sure = "certain"
        elif one[0] == "O":
            entry = survey.catalogue.classes.get(one[1])
            if entry is not None and entry.async_with:
                sure = "certain"
        elif one[0] == "I" and in_async:
            if survey.project.member(one[1], one[2], "__aenter__") is not None:
                sure = _blocks_on_entry(survey, one)
        elif one[0] == "only":
            sure = "certain"
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
    """Whether the async form blocks as well, so that nothing is won by it."""
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
                for entry in survey.catalogue.modules.get(module, ()):
                    if name in entry.only_async_with:
                        yield ("only",)
            elif one[0] == "OM":
                owner = survey.catalogue.classes.get(one[1])
                if owner is not None and one[2] in owner.only_async_with:
                    yield ("only",)


def _is_breaker(survey: Survey, one: Type) -> bool:
    if one[0] in ("O", "OM"):
        entry = survey.catalogue.classes.get(one[1])
        return entry is not None and entry.breaker
    if one[0] == "I":
        return bool(_BREAKER.search(survey.project.cls(one[1], one[2]).name))
    return False


def _breaker_decorator(survey: Survey, file: int, one: Pattern) -> Iterator[Finding]:
    value = one.values[0]
    assert value is not None
    types = survey.evaluate(file, value)
    if any(found[0] == "O" and _is_breaker(survey, found) for found in types) or (
        value[0] == "c"
        and any(
            found[0] == "O" and _is_breaker(survey, found)
            for found in survey.evaluate(file, value[1])
        )
    ):
        message = (
            f"{dotted(value)} calls {one.note} like a sync function: it sees a coroutine, never an "
            "error. Use a breaker that awaits."
        )
        yield survey.finding(file, one.function, one, "sync-circuit-breaker", message, "likely")


def _breaker_call(survey: Survey, file: int, index: int, event: Event) -> Iterator[Finding]:
    for one in survey.evaluate(file, event.value):
        if one[0] == "B":
            owner = survey.project.cls(one[3], one[4])
            function = survey.project.function(one[1], one[2])
            if not _BREAKER.search(owner.name) or function.is_async:
                continue
            if not survey.outcomes.called_parameters.of(one[1], one[2]):
                continue
        elif one[0] == "I":
            if not _is_breaker(survey, one):
                continue
            method = survey.project.method(one[1], one[2], "__call__")
            if method is None or survey.project.function(*method).is_async:
                continue
        elif not (one[0] == "OM" and one[2] == "call" and _is_breaker(survey, one)):
            continue
        if any(_gives_awaitable(survey, file, value) for _, value in event.args):
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
            entry = survey.catalogue.classes.get(one[1])
            if entry is not None and one[2] in entry.awaits:
                return True
        elif one[0] == "K" or (
            one[0] == "P"
            and any(
                found[0] in ("F", "B") and survey.project.function(found[1], found[2]).is_async
                for found in one[1]
            )
        ):
            return True
    return False


def _breaker_scope(survey: Survey, file: int, index: int, event: Event) -> Iterator[Finding]:
    value = event.value
    guarded = any(_is_breaker(survey, one) for one in survey.evaluate(file, value))
    if value is not None and value[0] == "c":
        guarded = guarded or any(
            one[0] == "OM" and _is_breaker(survey, one) for one in survey.evaluate(file, value[1])
        )
    if guarded:
        message = f"{dotted(value)} is a sync breaker around an await: it blocks on its lock, or miscounts."
        yield survey.finding(file, index, event, "sync-circuit-breaker", message, "likely")
