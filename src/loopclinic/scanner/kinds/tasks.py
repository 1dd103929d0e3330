"""Coroutines never awaited, tasks nobody keeps, results of gather nobody looks at."""

import re
from collections.abc import Iterator

from loopclinic.scanner.facts.record import AWAITED, DISCARDED, UNUSED, Event, Function
from loopclinic.scanner.facts.values import dotted, tail
from loopclinic.scanner.findings import Finding
from loopclinic.scanner.project import Type
from loopclinic.scanner.survey import Survey
from loopclinic.scanner.words import words

__all__ = ["detect"]

_STARTS = frozenset({"asyncio.create_task", "asyncio.ensure_future", "asyncio.tasks.create_task"})
_STILL_ASYNC = words("staticmethod classmethod override abstractmethod retry wraps")
"""Decorators under which a coroutine function remains one."""
_LOOP_STARTS = frozenset({"asyncio.AbstractEventLoop.create_task"})
_ENDING = re.compile(r"stop|close|shut|clean|cancel|exit|drain|teardown|dispose", re.IGNORECASE)
_CALLED_SYNC = {
    "Thread": ("target",),
    "Process": ("target",),
    "Timer": (1, "function"),
    "submit": (0,),
    "call_soon": (0,),
    "call_soon_threadsafe": (0,),
    "call_later": (1,),
    "call_at": (1,),
    "add_done_callback": (0,),
    "add_signal_handler": (1,),
}
"""Calls that call an argument as if it were sync: a coroutine made there is never awaited."""


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield what is started or made, and then dropped."""
    for file, index, function in survey.functions():
        for event in function.events:
            if event.op != "call":
                continue
            if event.flags & (DISCARDED | UNUSED):
                found = _dropped(survey, file, function, event)
                if found is not None:
                    kind, message, confidence = found
                    yield survey.finding(file, index, event, kind, message, confidence)
            if event.args and tail(event.value) in _CALLED_SYNC:
                yield from _handed(survey, file, index, event)


def _dropped(
    survey: Survey, file: int, function: Function, event: Event
) -> tuple[str, str, str] | None:
    name = tail(event.value)
    paths = survey.outside(file, event.value)
    if event.flags & AWAITED:
        quiet = "asyncio.gather" in paths and ("return_exceptions", True) in event.consts
        if not quiet or _ends(function):
            return None
        message = "Errors come back as values here, and nothing looks at them."
        return "dropped-gather-results", message, "certain"
    if paths & (_STARTS | _LOOP_STARTS):
        message = "Nothing keeps this task, so it may vanish, and its error with it: keep it, or use a TaskGroup."
        return "dropped-task", message, "certain"
    if name == "create_task" and dotted(event.value).endswith("loop.create_task") and not paths:
        return "dropped-task", "Nothing keeps this task: keep it, or use a TaskGroup.", "likely"
    if "asyncio.gather" in paths and event.flags & DISCARDED:
        return "dropped-task", "Nothing awaits what is gathered here.", "likely"
    if "asyncio.run_coroutine_threadsafe" in paths and event.flags & DISCARDED:
        return "dropped-task", "Nobody asks this future for its result or error.", "likely"
    for one in survey.evaluate(file, event.value):
        if _gives_coroutine(survey, one):
            message = f"{dotted(event.value)}() only makes a coroutine: await it."
            return "unawaited-coroutine", message, "certain"
    return None


def _ends(function: Function) -> bool:
    """Whether this function ends tasks, so that their errors are of no interest any more."""
    if _ENDING.search(function.name):
        return True
    return any(event.op == "call" and tail(event.value) == "cancel" for event in function.events)


def _gives_coroutine(survey: Survey, one: Type) -> bool:
    if one[0] in ("F", "B"):
        function = survey.project.function(one[1], one[2])
        if "generator" in function.traits or not function.is_async:
            return False
        if not function.decorators:
            return True
        wrapper = survey.types.decorators.wrapper(one[1], function)
        if wrapper is not None:
            return survey.project.function(*wrapper).is_async
        return function.decorator_names <= _STILL_ASYNC
    if one[0] == "X":
        return survey.catalogue.awaited(one[1])
    if one[0] == "OM":
        entry = survey.catalogue.classes.get(one[1])
        return entry is not None and one[2] in entry.awaits
    return False


def _handed(survey: Survey, file: int, index: int, event: Event) -> Iterator[Finding]:
    wanted = _CALLED_SYNC[tail(event.value)]
    for at, value in event.args:
        if at not in wanted:
            continue
        for one in survey.evaluate(file, value):
            if one[0] in ("F", "B") and _gives_coroutine(survey, one):
                name = dotted(value)
                message = f"{name} is async, and this calls it like a sync function: its coroutine is never awaited."
                yield survey.finding(file, index, event, "unawaited-coroutine", message, "likely")
                return
