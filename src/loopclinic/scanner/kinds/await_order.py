"""Detectors: late initialization, sequential awaits, unbounded gather."""

import re
from collections.abc import Iterator

from loopclinic.scanner.detector_input import Survey
from loopclinic.scanner.facts.fact_records import IN_LOCK, Pattern
from loopclinic.scanner.facts.values import Value, dotted, tail
from loopclinic.scanner.finding import Finding
from loopclinic.scanner.kinds.connections import is_single, receiver

_LIMITS = re.compile("sem|limit|slots|throttle", re.IGNORECASE)


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield hints on the order and the number of awaits."""
    for file, one in survey.patterns("lazy-init-race"):
        if _called_under_lock(survey, file, one.function):
            continue
        message = (
            f"Two tasks may both find {one.note.removesuffix('[]')} unset, since the await lies "
            "between the check and the set: hold an asyncio.Lock over both."
        )
        yield survey.finding(file, one.function, one, "lazy-init-race", message, "hint")
    for file, one in survey.patterns("sequential-awaits"):
        if all(_may_overlap(survey, file, one.function, value) for value in one.values):
            message = (
                "Each waits for the one before, and none needs it: gather them, or use a TaskGroup."
            )
            yield survey.finding(file, one.function, one, "sequential-awaits", message, "hint")
    for file, one in survey.patterns("unbounded-gather"):
        if _unbounded(survey, file, one):
            message = (
                "As many at once as there are elements: bound them by a semaphore or by workers."
            )
            yield survey.finding(file, one.function, one, "unbounded-gather", message, "hint")


def _called_under_lock(survey: Survey, file: int, index: int) -> bool:
    """Return whether all that call a function hold a lock."""
    name = survey.project.function(file, index).name
    calls = survey.calls_of([name])
    return bool(calls) and all(event.flags & IN_LOCK for *_, event in calls)


def _may_overlap(survey: Survey, file: int, index: int, value: Value) -> bool:
    """Return whether calls of this may run at the same time: not on one connection."""
    handed = (
        arg
        for event in survey.project.function(file, index).events
        if event.op == "call" and event.value == value
        for _, arg in event.args
    )
    if any(
        one[0] == "O" and is_single(survey, one[1])
        for arg in handed
        for one in survey.evaluate(file, arg)
    ):
        return False
    for one in survey.evaluate(file, value):
        if one[0] == "OM" and one[1] not in ("aiohttp.ClientSession", "httpx.AsyncClient"):
            return survey.catalogue.cls(one[1]).path.endswith((".Pool", ".Redis", "AsyncClient"))
        if one[0] in ("F", "B"):
            function = survey.project.function(one[1], one[2])
            asked = (event.value for event in function.events if event.op == "call")
            return function.is_async and not any(receiver(survey, one[1], call) for call in asked)
    return True


def _unbounded(survey: Survey, file: int, one: Pattern) -> bool:
    starter, made = one.values
    paths = survey.outside(file, starter)
    if not paths & {"asyncio.gather", "asyncio.wait"} or receiver(survey, file, made):
        return False  # else one connection is the matter, not how many there are
    if tail(made) in ("run_in_executor", "to_thread", "run_sync"):
        return False  # its threads bound it
    for target in survey.evaluate(file, made):
        if target[0] in ("F", "B"):
            function = survey.project.function(target[1], target[2])
            for event in function.events:
                if event.op == "awith" and (
                    _LIMITS.search(dotted(event.value))
                    or any(
                        found[0] == "O" and found[1].endswith("Semaphore")
                        for found in survey.evaluate(target[1], event.value)
                    )
                ):
                    return False
        elif target[0] == "OM" and target[2] in ("wait_closed", "close", "stop", "cancel"):
            return False
    return True
