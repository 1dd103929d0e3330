"""How awaits stand to each other: set too late, one after another, or all at once."""

import re
from collections.abc import Iterator

from loopclinic.scanner.facts.record import Pattern
from loopclinic.scanner.facts.values import Value, dotted, tail
from loopclinic.scanner.findings import Finding
from loopclinic.scanner.survey import Survey

__all__ = ["detect"]

_LIMITS = re.compile("sem|limit|slots|throttle", re.IGNORECASE)


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield hints on the order and the number of awaits."""
    for file, one in survey.patterns("lazy-init-race"):
        message = (
            f"Two tasks may both find {one.note.removesuffix('[]')} unset, since the await lies "
            "between the check and the set: hold an asyncio.Lock over both."
        )
        yield survey.finding(file, one.function, one, "lazy-init-race", message, "hint")
    for file, one in survey.patterns("sequential-awaits"):
        if all(_may_overlap(survey, file, value) for value in one.values):
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


def _may_overlap(survey: Survey, file: int, value: Value) -> bool:
    """Whether calls of this may run at the same time: not on one connection."""
    for one in survey.evaluate(file, value):
        if one[0] == "OM" and one[1] not in ("aiohttp.ClientSession", "httpx.AsyncClient"):
            entry = survey.catalogue.classes.get(one[1])
            return entry is not None and entry.path.endswith((".Pool", ".Redis", "AsyncClient"))
        if one[0] in ("F", "B"):
            return survey.project.function(one[1], one[2]).is_async
    return True


def _unbounded(survey: Survey, file: int, one: Pattern) -> bool:
    starter, made = one.values
    paths = survey.outside(file, starter)
    if not paths & {"asyncio.gather", "asyncio.wait"}:
        return False
    if tail(made) in ("run_in_executor", "to_thread", "run_sync"):
        return False  # its threads bound it
    for target in survey.evaluate(file, made):
        if target[0] in ("F", "B"):
            function = survey.project.function(target[1], target[2])
            for event in function.events:
                if event.op == "awith" and _LIMITS.search(dotted(event.value)):
                    return False
                if event.op == "awith" and any(
                    found[0] == "O" and found[1].endswith("Semaphore")
                    for found in survey.evaluate(target[1], event.value)
                ):
                    return False
        elif target[0] == "OM" and target[2] in ("wait_closed", "close", "stop", "cancel"):
            return False
    return True
