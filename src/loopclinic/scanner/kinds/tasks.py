"""Detectors: coroutines never awaited, tasks nobody keeps, errors and cancellation that get lost."""

import re
from collections.abc import Iterator

from loopclinic.scanner.detector_input import Survey
from loopclinic.scanner.facts.fact_records import (
    AWAITED,
    DISCARDED,
    IN_TIMEOUT,
    UNUSED,
    Event,
    Function,
    Pattern,
)
from loopclinic.scanner.facts.values import Value, dotted, tail
from loopclinic.scanner.finding import Finding
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import functions_in

_STARTS = words(
    "asyncio.create_task asyncio.ensure_future asyncio.tasks.create_task"
    " asyncio.AbstractEventLoop.create_task"
)
_ENDING = re.compile(r"stop|close|shut|clean|cancel|exit|drain|teardown|dispose", re.IGNORECASE)
_CALLED_SYNC: dict[str, tuple[int | str, ...]] = {
    **dict.fromkeys(("Thread", "Process"), ("target",)),
    "Timer": (1, "function"),
    **dict.fromkeys(("submit", "call_soon", "call_soon_threadsafe", "add_done_callback"), (0,)),
    **dict.fromkeys(("call_later", "call_at", "add_signal_handler"), (1,)),
}
"""Calls that call an argument as if it were sync: a coroutine made there is never awaited."""
_RECEIVERS = re.compile(r"(loop|executor|pool|task|future|fut)(\(\))?$", re.IGNORECASE)
"""Names of what calls an argument so, where nothing else is known about it."""
_NO_LOSS = re.compile(
    r"analytics|telemetry|[Mm]etrics?(\.|_|$)|(^|[._])track(_|$)|(^|[._])a?close(_|$)"
    r"|(^|\.)(pin|add_reaction|typing|trigger_typing)$|(channel|destination|ctx)\.send$"
    r"|(^|queue\w*\.)put$"
)
"""Names of what reports on itself, closes what nobody uses any more, or shows people something at once."""
_IN_THREAD = words(
    "asyncio.to_thread fastapi.concurrency.run_in_threadpool starlette.concurrency.run_in_threadpool"
)
_WAITS = words("asyncio.sleep asyncio.Queue.get asyncio.Queue.join asyncio.Event.wait")
"""What raises nothing but that it was cancelled, before something else is done."""
_OWN = words(
    "send throw close __await__ __name__ __qualname__ cr_await cr_code cr_frame cr_running cr_origin"
)
"""What a coroutine has itself."""
_CANCELLED = words(
    "asyncio.CancelledError asyncio.exceptions.CancelledError anyio.get_cancelled_exc_class"
)
_CANCELLING = words(
    "cancel wait_for timeout timeout_at move_on_after fail_after TaskGroup create_task_group open_nursery run"
)
"""Calls that cancel tasks, or do so when something else fails or the program ends."""
_ALL = _CANCELLED | {"builtins.BaseException"}


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield what is started or made, and then dropped, and cancellation that is caught and kept."""
    for file, index, function, event in survey.calls:
        if event.flags & (DISCARDED | UNUSED):
            found = _dropped(survey, file, function, event)
            if found is not None:
                no_loss = found[0] == "dropped-task" and _kept(survey, file, function, event)
                yield survey.finding(file, index, event, *found, weight=0 if no_loss else None)
        if event.args and tail(event.value) in _CALLED_SYNC:
            yield from _handed(survey, file, index, event)
    yield from _used(survey)
    yield from _swallowed(survey)


def _dropped(
    survey: Survey, file: int, function: Function, event: Event
) -> tuple[str, str, str] | None:
    name = tail(event.value)
    paths = survey.outside(file, event.value)
    if event.flags & AWAITED:
        quiet = "asyncio.gather" in paths and ("return_exceptions", True) in event.consts
        if not quiet or _ends(function) or _harmless(survey, file, event):
            return None
        message = "Errors come back as values here, and nothing looks at them."
        return "dropped-gather-results", message, "certain"
    if paths & _STARTS:
        message = "Nothing keeps this task, so it may vanish, and its error with it: keep it, or use a TaskGroup."
        return "dropped-task", message, "certain"
    if name == "create_task" and dotted(event.value).endswith("loop.create_task") and not paths:
        own = any(one.owner is not None and one.name == name for *_, one in survey.functions())
        sure = "hint" if own else "likely"  # it may be the project's own, which keeps it
        return "dropped-task", "Nothing keeps this task: keep it, or use a TaskGroup.", sure
    if "asyncio.gather" in paths and event.flags & DISCARDED:
        return "dropped-task", "Nothing awaits what is gathered here.", "likely"
    if "asyncio.run_coroutine_threadsafe" in paths and event.flags & DISCARDED:
        return "dropped-task", "Nobody asks this future for its result or error.", "likely"
    types = survey.evaluate(file, event.value)
    if types and all(map(survey.types.gives_coroutine, types)):
        message = f"{dotted(event.value)}() only makes a coroutine: await it."
        return "unawaited-coroutine", message, "certain"
    return None


def _kept(survey: Survey, file: int, function: Function, event: Event) -> bool:
    """Return whether a task is no loss, or what the loop runs for that this function then starts."""
    later = {tail(one.value) for one in function.events if one.line > event.line}
    return "run_forever" in later or _harmless(survey, file, event)


def _harmless(survey: Survey, file: int, event: Event) -> bool:
    """Return whether all coroutines that a call is handed catch their own errors, or are no loss."""
    gathers = tail(event.value) == "gather"
    made = [
        one
        for at, value in event.args
        if gathers or at in (0, "coro")
        for one in (value[1] if value is not None and value[0] in ("ls", "tu") else (value,))
        if one is not None and one[0] == "c"
    ]
    return bool(made) and all(_guarded(survey, file, one[1]) for one in made)


def _guarded(survey: Survey, file: int, called: Value, deep: int = 4) -> bool:
    """Return whether a coroutine lets no error out, or none that would be a loss, so many calls deep."""
    nodes = functions_in(survey.evaluate(file, called))
    functions = [survey.project.function(*one) for one in nodes]
    names = (dotted(called), *(one.name for one in functions))
    if survey.outside(file, called) & (_IN_THREAD | {"asyncio.Queue.put"}) or any(
        map(_NO_LOSS.search, names)
    ):
        return True
    return bool(functions) and all(
        "guarded" in one.traits or (deep and _awaits_only_guarded(survey, at, one, deep))
        for (at, _), one in zip(nodes, functions, strict=True)
    )


def _awaits_only_guarded(survey: Survey, file: int, function: Function, deep: int) -> bool:
    """Return whether a coroutine awaits more than a moment, and nothing that lets an error out."""
    steps = (one for one in function.events if one.flags & AWAITED or one.op == "aiter")
    awaited = [one for one in steps if not survey.outside(file, one.value) & _WAITS]
    return bool(awaited) and all(
        one.op == "call" and _guarded(survey, file, one.value, deep - 1) for one in awaited
    )


def _ends(function: Function) -> bool:
    """Return whether this function ends tasks, so that their errors are of no interest any more."""
    if _ENDING.search(function.name):
        return True
    return any(event.op == "call" and tail(event.value) == "cancel" for event in function.events)


def _used(survey: Survey) -> Iterator[Finding]:
    """Yield coroutines that are used as if they were their result, where each is made."""
    shapes: dict[tuple[int, int], list[tuple[Value, Event | Pattern]]] = {}
    for file, one in survey.patterns("used-result"):
        shapes.setdefault((file, one.function), []).append((one.values[0], one))
    for file, index, function in survey.functions():
        uses = shapes.get((file, index), [])
        # `yield from` of a coroutine is how a generator awaited before Python 3.5.
        generates = "generator" in function.traits
        uses += [
            (_asked(event), event)
            for event in function.events
            if not (generates and event.op == "iter")
        ]
        found: set[tuple[int, int]] = set()
        for value, use in uses:
            if value is None or value[0] != "c":
                continue
            types = survey.evaluate(file, value[1])
            if not types or not all(survey.types.gives_coroutine(one) for one in types):
                continue
            at = next(
                (
                    event
                    for event in reversed(function.events)
                    if event.op == "call" and event.value == value[1] and event.line <= use.line
                    if not event.flags & AWAITED
                ),
                use,
            )
            if (at.line, at.column) not in found:
                found.add((at.line, at.column))
                who = "this line" if use.line == at.line else f"line {use.line}"
                message = f"{dotted(value[1])}() only makes a coroutine, and {who} uses it as the result: await it."
                yield survey.finding(file, index, at, "unawaited-coroutine", message, "certain")


def _asked(event: Event) -> Value:
    """Return the value of which an event asks what a coroutine does not have, or None."""
    if event.op in ("iter", "with"):
        return event.value
    if event.op in ("attr", "call") and event.value is not None and event.value[0] == "a":
        return None if event.value[2] in _OWN else event.value[1]
    return None


def _calls_it(survey: Survey, file: int, event: Event) -> bool:
    """Return whether this is a thread, executor or loop, and not something of the project named alike."""
    types = survey.evaluate(file, event.value)
    if types or event.value is None or event.value[0] != "a":
        return all(one[0] in ("X", "OM") for one in types)
    return bool(_RECEIVERS.search(survey.graph.outcomes.named(file, event.value[1])))


def _handed(survey: Survey, file: int, index: int, event: Event) -> Iterator[Finding]:
    wanted = _CALLED_SYNC[tail(event.value)]
    if not _calls_it(survey, file, event):
        return
    for at, value in event.args:
        if at not in wanted:
            continue
        for one in survey.evaluate(file, value):
            if one[0] in ("F", "B") and survey.types.gives_coroutine(one):
                name = dotted(value)
                message = f"{name} is async, and this calls it like a sync function: its coroutine is never awaited."
                yield survey.finding(file, index, event, "unawaited-coroutine", message, "likely")
                return


def _is_task(survey: Survey, file: int, index: int) -> bool:
    """Return whether a coroutine function is only handed to tasks, so that nothing waits inside for its end."""
    function = survey.project.function(file, index)
    calls = survey.calls_of([function.name])
    return bool(calls or function.entry[0] == "worker") and not any(
        event.flags & AWAITED for *_, event in calls
    )


def _cancelled(survey: Survey, file: int, index: int) -> bool:
    """Return whether a coroutine runs as a task or in a time limit of a project that cancels some."""
    function = survey.project.function(file, index)
    calls = survey.calls_of([function.name])
    apart = any(not event.flags & AWAITED or event.flags & IN_TIMEOUT for *_, event in calls)
    return (apart or function.entry[0] == "worker") and bool(survey.calls_of(_CANCELLING))


def _swallowed(survey: Survey) -> Iterator[Finding]:
    """Yield handlers around an await that keep cancellation to themselves."""
    for file, one in survey.patterns("swallowed-cancellation"):
        goes_on = one.note.startswith("loop ")
        how = one.note.removeprefix("loop ").partition(":")[0]
        types = list(one.values)
        split = types.index(None) if None in types else len(types)
        passed = {path for value in types[split + 1 :] for path in survey.outside(file, value)}
        if passed & _ALL:
            continue
        caught = {path for value in types[:split] for path in survey.outside(file, value)}
        if not caught & _ALL:
            continue
        if how == "finally":
            message = (
                "Leaving `finally` so drops what was raised, cancellation too: leave it at its end."
            )
        elif "builtins.BaseException" in caught and not caught & _CANCELLED:
            message = (
                "This catches CancelledError too and does not raise it again: catch Exception."
            )
        else:
            message = (
                "CancelledError is caught and not raised again: whoever cancelled is not obeyed."
            )
        confidence = "likely" if how == "other" else "certain"
        of_another = one.note.partition(":")[2] and caught & _CANCELLED and how != "finally"
        alone = caught <= _CANCELLED and not _is_task(survey, file, one.function)
        if of_another or (how == "ends" and not alone):
            confidence = "hint"  # it is the cancelled task's, or this one ends, as it was asked to
        weight = None if goes_on and _cancelled(survey, file, one.function) else 0
        kind = "swallowed-cancellation"
        yield survey.finding(file, one.function, one, kind, message, confidence, weight=weight)
