"""Loops made per call, looked up where none runs, and objects that outlive the loop they belong to."""

import re
from collections.abc import Iterator

from loopclinic.scanner.facts.record import IN_LOOP, IN_MAIN, Event, Function
from loopclinic.scanner.facts.values import Value, tail
from loopclinic.scanner.findings import Finding
from loopclinic.scanner.project import Types
from loopclinic.scanner.survey import Survey
from loopclinic.scanner.words import words

__all__ = ["detect"]

_NAMES = words("run Runner new_event_loop get_event_loop run_until_complete apply async_to_sync")
_RUN = frozenset({"asyncio.run", "uvloop.run", "anyio.run", "trio.run", "asyncio.runners.run"})
_MAKES = _RUN | {"asyncio.new_event_loop", "asyncio.Runner", "asyncio.events.new_event_loop"}
_PATCHES = {"nest_asyncio.apply", "nest_asyncio2.apply"}
_ENTRY = re.compile(
    r"^_*(main|cli|test_\w+|handle|run_server|serve|entry_?point|console|\w+_main|main_\w+)$"
)
_TASK_DECORATORS = words("task shared_task periodic_task actor job")
_ENTRY_DECORATORS = _TASK_DECORATORS | words("command group callback fixture")

Node = tuple[int, int]


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield loops per call, lookups, nest_asyncio, and primitives used by several loops."""
    starters: list[tuple[Node, Event, bool]] = []
    entries = _entries(survey)
    threads = _thread_targets(survey)
    for file, index, function in survey.functions():
        for event in function.events:
            if event.op != "call":
                continue
            if tail(event.value) == "Thread" and _runs_in_thread(survey, file, event):
                message = (
                    "A thread and a loop for this one call: keep one loop, and hand it the work."
                )
                yield survey.finding(file, index, event, "loop-per-call", message, "likely")
            if tail(event.value) not in _NAMES:
                continue
            paths = survey.outside(file, event.value)
            if patch := paths & _PATCHES:
                name = min(patch).partition(".")[0]
                message = f"{name} lets one loop run inside another; await instead."
                yield survey.finding(file, index, event, "nested-loop", message, "likely")
            if paths & _RUN or "asyncio.AbstractEventLoop.run_until_complete" in paths:
                per_call = _per_call((file, index), function, event, entries, threads)
                starters.append(((file, index), event, per_call or _is_task(function)))
            if function.is_async:
                continue
            if (
                paths & _MAKES
                and _per_call((file, index), function, event, entries, threads)
                and not _kept(survey, file, index, event, paths)
            ):
                message = (
                    "A loop for this one call: what it opens can't be shared, and it is torn "
                    "down each time. Keep one loop, or make the caller async."
                )
                yield survey.finding(file, index, event, "loop-per-call", message, "likely")
            if "asyncio.get_event_loop" in paths and not _on_loop(survey, file, index, function):
                message = (
                    "No loop runs here, so this warns or fails; make the caller async, "
                    "or hand the loop in."
                )
                yield survey.finding(file, index, event, "get-event-loop", message, "likely")
    yield from _bound(survey, starters)


def _entries(survey: Survey) -> set[Node]:
    """Return the functions that are called from module level, which is once."""
    found: set[Node] = set()
    for file, facts in survey.files():
        for event in facts.functions[0].events:
            if event.op == "call" and event.flags & IN_MAIN:
                for one in survey.evaluate(file, event.value):
                    if one[0] in ("F", "B"):
                        found.add((one[1], one[2]))
    return found


def _thread_targets(survey: Survey) -> set[Node]:
    """Return the functions that are handed to a thread, process or executor of their own."""
    found: set[Node] = set()
    for file, _, function in survey.functions():
        for event in function.events:
            if event.op == "call" and tail(event.value) in ("Thread", "Process", "Timer"):
                for _, value in event.args:
                    for one in survey.evaluate(file, value):
                        if one[0] in ("F", "B"):
                            found.add((one[1], one[2]))
    return found


def _runs_in_thread(survey: Survey, file: int, event: Event) -> bool:
    return not event.flags & IN_MAIN and any(
        at == "target" and survey.outside(file, value) & _RUN for at, value in event.args
    )


def _is_task(function: Function) -> bool:
    """Whether this is a Celery task or its like: run often, in a process that stays."""
    return not _TASK_DECORATORS.isdisjoint(function.decorator_names)


def _per_call(
    node: Node,
    function: Function,
    event: Event,
    entries: set[Node],
    threads: set[Node],
) -> bool:
    """Whether this runs each time something is called, rather than once for the program."""
    if event.flags & IN_LOOP and not _is_task(function):
        return True
    if event.flags & IN_MAIN or node[1] == 0:
        return False
    if _ENTRY.match(function.name) or node in entries:
        return False
    if not _ENTRY_DECORATORS.isdisjoint(function.decorator_names):
        return False
    return not (node in threads and "closure" not in function.traits)


def _kept(survey: Survey, file: int, index: int, event: Event, paths: set[str]) -> bool:
    """Whether a new loop is stored, or runs for good."""
    if paths & _RUN:
        return False
    function = survey.project.function(file, index)
    for one in function.events:
        if tail(one.value) == "run_forever":
            return True
        if any(tail(value) == "run_forever" for _, value in one.args):
            return True
    if any(
        one.kind == "made" and one.function == index and one.line == event.line
        for one in survey.project.of(file).patterns
    ):
        return True
    return any(_returns(value, event.value) for value in function.returns)


def _returns(value: Value, callee: Value) -> bool:
    if value is None:
        return False
    if value[0] == "u":
        return any(_returns(one, callee) for one in value[1])
    return bool(value[0] == "c" and value[1] == callee)


def _on_loop(survey: Survey, file: int, index: int, function: Function) -> bool:
    """Whether this sync code is known to be called by async code."""
    if (file, index) in survey.graph.steps:
        return True
    parent = function.parent
    while parent is not None:
        outer = survey.project.function(file, parent)
        if outer.is_async:
            return True
        parent = outer.parent
    return False


def _bound(survey: Survey, starters: list[tuple[Node, Event, bool]]) -> Iterator[Finding]:
    """What belongs to one loop, and is used by functions that several loops run."""
    made = []
    for file, pattern in survey.patterns("made"):
        if pattern.note.startswith("self."):
            continue
        for one in survey.evaluate(file, pattern.values[0]):
            entry = survey.catalogue.classes.get(one[1]) if one[0] == "O" else None
            if entry is not None and (entry.loop_bound or entry.closes):
                made.append((file, pattern, entry.path))
                break
    if not made or not starters:
        return
    reached: dict[Node, list[tuple[Node, bool]]] = {}
    for node, event, often in starters:
        for one in _started(survey, node[0], event):
            for user in _reachable(survey, one):
                reached.setdefault(user, []).append((node, often))
    for file, pattern, path in made:
        loops: dict[Node, bool] = {}
        for user, by in reached.items():
            if _uses(survey, user, file, pattern.note):
                loops.update(by)
        if len(loops) > 1 or any(loops.values()):
            message = (
                f"{pattern.note} is an {path} that belongs to one loop, and more than one uses it: "
                "make it where the loop starts."
            )
            yield survey.finding(
                file, pattern.function, pattern, "loop-bound-primitive", message, "likely"
            )


def _started(survey: Survey, file: int, event: Event) -> list[Node]:
    found: list[Node] = []
    for _, value in event.args:
        if value is not None and value[0] == "c":
            found += _functions(survey.evaluate(file, value[1]))
    return found


def _functions(types: Types) -> list[Node]:
    return [(one[1], one[2]) for one in types if one[0] in ("F", "B")]


def _reachable(survey: Survey, start: Node) -> set[Node]:
    found: set[Node] = set()
    stack = [start]
    while stack:
        node = stack.pop()
        if node in found:
            continue
        found.add(node)
        for event in survey.project.function(*node).events:
            if event.op == "call":
                stack += _functions(survey.evaluate(node[0], event.value))
    return found


def _uses(survey: Survey, node: Node, file: int, name: str) -> bool:
    function = survey.project.function(*node)
    for event in function.events:
        root = event.value
        while root is not None and root[0] in ("a", "c", "s", "w", "e", "E"):
            root = root[1]
        if root is None or root[0] not in ("g", "if") or root[-1] != name:
            continue
        if node[0] == file and root[0] == "g":
            return True
        values = survey.project.of(node[0]).bindings.get(name, []) if root[0] == "g" else [root]
        for value in values:
            if value is not None and value[0] == "if" and value[3] == name:
                return True
    return False
