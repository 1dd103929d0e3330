"""Detectors: loops made for each call, loops looked up where none runs, objects used across loops."""

import re
from collections import Counter
from collections.abc import Iterator

from loopclinic.scanner.detector_input import HANDING, Survey
from loopclinic.scanner.facts.fact_records import IN_LOOP, IN_MAIN, Event, Function, Pattern
from loopclinic.scanner.facts.values import Value, dotted, tail, uncalled
from loopclinic.scanner.finding import Finding
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import Node, functions_in

_NAMES = words("run Runner new_event_loop get_event_loop run_until_complete apply async_to_sync")
_RUN = frozenset({"asyncio.run", "uvloop.run", "anyio.run", "trio.run", "asyncio.runners.run"})
_MAKES = _RUN | {"asyncio.new_event_loop", "asyncio.Runner", "asyncio.events.new_event_loop"}
_PATCHES = {"nest_asyncio.apply", "nest_asyncio2.apply"}
_ENTRY = re.compile(
    r"^_*(main|cli|test_\w+|handle|run_server|serve|entry_?point|console|\w+_main|main_\w+)$"
)
_MAIN = re.compile(r"^_*(a?main|\w+_main|main_\w+)$")
_BEGINS = re.compile(
    r"^_*(_init_|_enter_|_aenter_|(start|run|launch|init|setup|open|connect|begin|lifespan)\w*)_*$"
)
_RUNNING = words("run_until_complete run_forever run close")
_EACH = "make one where each loop starts."
_HAVING = words(
    "run_forever run_until_complete new_event_loop set_event_loop get_event_loop get_running_loop"
)
_TOUCHING = words(
    "put_nowait get_nowait set release notify notify_all set_result set_exception call_soon create_task"
)
_CALLING_BACK = words("paho.mqtt.client.Client websocket.WebSocketApp")
"""Classes that call what is assigned to their `on_...` from a thread of their own."""
_THREADS = words("Thread Process Timer")
_TASK_DECORATORS = words("task shared_task periodic_task actor job")
_COMMANDS = words("command group callback")
_ENTRY_DECORATORS = _TASK_DECORATORS | _COMMANDS | {"fixture"}


def detect(survey: Survey) -> Iterator[Finding]:
    """Yield loops per call, lookups, nest_asyncio, and primitives used by several loops."""
    starters: list[tuple[Node, Event, bool]] = []
    once: set[Node] = set()
    several = _several_threads(survey)
    entries = _entries(survey)
    threads = _one_thread(survey, entries)
    commands = _command_wrappers(survey)
    for file, index, function, event in survey.calls_of(_NAMES | {"Thread"}):
        if tail(event.value) == "Thread" and _starts_loop(survey, file, event):
            starters.append(((file, index), event, bool(event.flags & IN_LOOP)))
        if (
            tail(event.value) == "Thread"
            and not _BEGINS.match(function.name)
            and _runs_in_thread(survey, file, event)
        ):
            message = "A thread and a loop for this one call: keep one loop, and hand it the work."
            yield survey.finding(file, index, event, "loop-per-call", message, "likely")
        if tail(event.value) not in _NAMES:
            continue
        paths = survey.outside(file, event.value)
        if patch := paths & _PATCHES:
            name = min(patch).partition(".")[0]
            message = f"{name} lets one loop run inside another; await instead."
            yield survey.finding(file, index, event, "nested-loop", message, "likely")
        per_call = (
            (file, index) not in commands
            and _per_call((file, index), function, event, entries, threads)
            and not _runs_main(survey, file, event)
        )
        if paths & _RUN or "asyncio.AbstractEventLoop.run_until_complete" in paths:
            often = per_call or _is_task(function) or (file, index) in several
            starters.append(((file, index), event, often))
            if (file, index) in commands or (_is_command(function) and not per_call):
                once.add((file, index))
        if function.is_async:
            continue
        if paths & _MAKES and per_call and not _kept(survey, file, index, event, paths):
            message = (
                "A loop for this one call: what it opens can't be shared, and it is torn "
                "down each time. Keep one loop, or make the caller async."
            )
            many = event.flags & IN_LOOP or (file, index) in survey.contexts.served
            weight = None if many else 0  # else a thread's or a program's, which hardly minds
            yield survey.finding(
                file, index, event, "loop-per-call", message, "likely", weight=weight
            )
        if "asyncio.get_event_loop" in paths and not _on_loop(survey, file, index, function):
            message = (
                "No loop runs here, so this warns or fails; make the caller async, "
                "or hand the loop in."
            )
            # A coroutine may make the object; a script warns once; a caller may hand the loop in.
            unsure = function.owner is not None or event.flags & IN_MAIN or event.guard
            sure = "hint" if unsure else "likely"
            yield survey.finding(file, index, event, "get-event-loop", message, sure)
    yield from _bound(survey, starters, once)
    yield from _from_threads(survey)


def _runs_main(survey: Survey, file: int, event: Event) -> bool:
    """Return whether the coroutine that a loop is made for is the program's main one."""
    names = (survey.project.function(*one).name for one in _started(survey, file, event))
    return any(map(_MAIN.match, names))


def _entries(survey: Survey) -> set[Node]:
    """Return the functions that are called from module level, which is once, and those that only they call."""
    found: set[Node] = set()
    for file, facts in survey.files():
        for event in facts.functions[0].events:
            if event.op == "call" and event.flags & IN_MAIN:
                found.update(functions_in(survey.evaluate(file, event.value)))
    commands = (
        (file, index)
        for file, index, function in survey.functions()
        if _MAIN.match(function.name) or function.decorator_names & _COMMANDS
    )
    queue = [*found, *commands]
    found.update(queue)
    while queue:
        node = queue.pop()
        for event in survey.project.function(*node).events:
            if event.op == "call" and not event.flags & IN_LOOP:
                for one in functions_in(survey.evaluate(node[0], event.value)):
                    if one not in found and _callers(survey, one) <= found:
                        found.add(one)
                        queue.append(one)
    return found


def _callers(survey: Survey, node: Node) -> set[Node]:
    name = survey.project.function(*node).name
    return {
        (file, index)
        for file, index, _, event in survey.calls_of([name])
        if node in functions_in(survey.evaluate(file, event.value))
    }


def _one_thread(survey: Survey, entries: set[Node]) -> set[Node]:
    """Return the functions that a thread, process or executor runs once for the program, and nobody else."""
    found: set[Node] = set()
    often: set[Node] = set()
    for file, index, function, event in survey.handing:
        if tail(event.value) in _THREADS:
            targets = {
                one for _, value in event.args for one in functions_in(survey.evaluate(file, value))
            }
            found |= targets
            if _per_call((file, index), function, event, entries, set()):
                often |= targets if _for_this_call(function, event) else set()
    names = {survey.project.function(*one).name for one in found}
    for file, index, function, event in survey.calls_of(names):
        if _per_call((file, index), function, event, entries, set()):
            often |= set(functions_in(survey.evaluate(file, event.value)))
    return found - often


def _command_wrappers(survey: Survey) -> set[Node]:
    """Return the functions that decorators of the project put in place of commands only."""
    found: dict[Node, bool] = {}
    for file, _, function in survey.functions():
        if function.is_async and function.decorators:
            node = survey.types.functions.wrapper(file, function)
            if node is not None:
                found[node] = found.get(node, True) and _is_command(function)
    return {node for node, only in found.items() if only}


def _is_command(function: Function) -> bool:
    """Return whether this is run by itself, once for the process."""
    named = bool(_ENTRY.match(function.name))
    return named or not _ENTRY_DECORATORS.isdisjoint(function.decorator_names - _TASK_DECORATORS)


def _for_this_call(function: Function, event: Event) -> bool:
    """Return whether a thread is started for one call of this function, and handed what only that has."""
    if _BEGINS.match(function.name):
        return False
    joined = any(_is_thread(one.value) and tail(one.value) == "join" for one in function.events)
    handed = [value for at, value in event.args if at in ("args", "kwargs")]
    return not joined and any(map(_of_a_call, handed))


def _is_thread(method: Value) -> bool:
    return method is not None and method[0] == "a" and tail(uncalled(method[1])) in _THREADS


def _of_a_call(value: Value) -> bool:
    """Return whether a value is a parameter, or was made from one or by a call."""
    if value is None:
        return False
    if value[0] in ("ls", "tu", "di", "u"):
        return any(map(_of_a_call, value[1]))
    return value[0] in ("p", "c", "w", "i", "s")


def _runs_in_thread(survey: Survey, file: int, event: Event) -> bool:
    return not event.flags & IN_MAIN and _starts_loop(survey, file, event)


def _starts_loop(survey: Survey, file: int, event: Event) -> bool:
    """Return whether the target of a thread is asyncio.run or its like."""
    return any(at == "target" and survey.outside(file, value) & _RUN for at, value in event.args)


def _several_threads(survey: Survey) -> set[Node]:
    """Return the functions that several threads run."""
    found: Counter[Node] = Counter()
    for file, _, _, event in survey.handing:
        if tail(event.value) == "Thread":
            for at, value in event.args:
                if at == "target":
                    for one in functions_in(survey.evaluate(file, value)):
                        found[one] += 2 if event.flags & IN_LOOP else 1
    return {node for node, times in found.items() if times > 1}


def _is_task(function: Function) -> bool:
    """Return whether this is a Celery task or its like: run often, in a process that stays."""
    return not _TASK_DECORATORS.isdisjoint(function.decorator_names)


def _per_call(
    node: Node, function: Function, event: Event, entries: set[Node], threads: set[Node]
) -> bool:
    """Return whether this runs each time something is called, rather than once for the program."""
    if event.flags & IN_LOOP and not _is_task(function):
        return True
    if event.flags & IN_MAIN or node[1] == 0 or node in entries:
        return False
    if _ENTRY.match(function.name) or function.decorator_names & _ENTRY_DECORATORS:
        return False
    return not (node in threads and "closure" not in function.traits)


def _kept(survey: Survey, file: int, index: int, event: Event, paths: set[str]) -> bool:
    """Return whether a new loop is stored, or runs for good."""
    if paths & _RUN:
        return False
    function = survey.project.function(file, index)
    called = {tail(one.value) for one in function.events}
    if called.isdisjoint(_RUNNING):
        return True  # it is set for others, or for the program
    for one in function.events:
        if "run_forever" in (tail(one.value), *(tail(value) for _, value in one.args)):
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
    """Return whether this sync code is known to be called by async code."""
    if (file, index) in survey.graph.steps:
        return True
    parent = function.parent
    while parent is not None:
        outer = survey.project.function(file, parent)
        if outer.is_async:
            return True
        parent = outer.parent
    return False


def _bound(
    survey: Survey, starters: list[tuple[Node, Event, bool]], once: set[Node]
) -> Iterator[Finding]:
    """Yield objects that belong to one loop and are used by functions that several loops run.

    Of those that run once a process, such as commands, a process runs one.
    """
    runs = {
        (file, one.function, one.line): one.note.split()
        for file, one in survey.patterns("runs-loop")
    }
    made = [*_made(survey)]
    if not made or not starters:
        return
    reached: dict[Node, list[tuple[Node, int, bool]]] = {}
    for node, event, often in starters:
        if tail(event.value) == "Thread":
            runs[*node, event.line] = []
        for one in _started(survey, node[0], event):
            for user in _reachable(survey, one):
                reached.setdefault(user, []).append((node, event.line, often))
    for file, pattern, name, path, holders in made:
        users = [
            user
            for user in reached
            if _uses(survey, user, file, name)
            or (pattern.function and user == (file, pattern.function))
        ]
        loops = {(node, line): often for user in users for node, line, often in reached[user]}
        if holders:  # only loops under which the object is used that has this attribute
            holding = {
                one[:2]
                for user, found in reached.items()
                if any(_uses(survey, user, *holder) for holder in holders)
                for one in found
            }
            loops = {loop: often for loop, often in loops.items() if loop in holding}
        if not any(loops.values()) and not _one_after_another([*loops], once, runs):
            continue
        if path.endswith("sessionmaker"):  # what it makes belongs to a loop, and is made there
            for user in users:
                for event in survey.project.function(*user).events:
                    if event.op == "call" and tail(event.value) == name:
                        message = f"{name} gives sessions over connections of another loop: {_EACH}"
                        yield survey.finding(
                            *user, event, "loop-bound-primitive", message, "likely"
                        )
            continue
        message = f"{pattern.note} is an {path} that belongs to one loop, and more than one uses it: {_EACH}"
        yield survey.finding(
            file, pattern.function, pattern, "loop-bound-primitive", message, "likely"
        )


def _made(
    survey: Survey,
) -> Iterator[tuple[int, Pattern, str, str, list[tuple[int, str]]]]:
    """Yield what belongs to one loop and outlives the function that makes it: file, shape, name, class.

    Of attributes, only those whose class has an instance that outlives functions, too, with where that is.
    """
    attributes: dict[tuple[int, int], list[tuple[int, Pattern, str]]] = {}
    instances: dict[tuple[int, int], list[tuple[int, str]]] = {}
    for file, pattern in survey.patterns("made"):
        owner = survey.project.function(file, pattern.function).owner
        for one in survey.evaluate(file, pattern.values[0]):
            entry = survey.catalogue.cls(one[1] if one[0] == "O" else "")
            if one[0] == "I" and not pattern.note.startswith("self."):
                instances.setdefault(one[1:3], []).append((file, pattern.note))
            if not entry.loop_bound and not entry.closes:
                continue
            if not pattern.note.startswith("self."):
                yield file, pattern, pattern.note, entry.path, []
            elif owner is not None and entry.loop_bound:
                attributes.setdefault((file, owner), []).append((file, pattern, entry.path))
            break
    for cls, holders in instances.items():
        for file, pattern, path in attributes.get(cls, ()):
            yield file, pattern, pattern.note, path, holders


def _one_after_another(
    loops: list[tuple[Node, int]], once: set[Node], runs: dict[tuple[int, int, int], list[str]]
) -> bool:
    """Return whether one process runs several of these loops, of which it runs one command only."""
    nodes = {node for node, _ in loops}
    if len(nodes - once) + bool(nodes & once) > 1:
        return True
    for node, line in loops:
        for other, next_line in loops:
            if node == other and line < next_line:
                first, second = runs.get((*node, line)), runs.get((*node, next_line))
                if first is not None and second is not None and _both_run(first, second):
                    return True
    return False


def _both_run(first: list[str], second: list[str]) -> bool:
    """Return whether both of two branches of a function may run, by their paths."""
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    if same < min(len(first), len(second)):
        return abs(int(first[same])) == abs(int(second[same]))
    return not any(step.startswith("-") for step in first[same:])


def _from_threads(survey: Survey) -> Iterator[Finding]:
    """Yield what a function that runs in a thread does to objects of a loop, which take no lock."""
    started: set[Node] = set()
    for file, _, function, event in survey.handing:
        if tail(event.value) in HANDING:
            handed = [value for _, value in event.args]
            types = [one for value in handed for one in survey.evaluate(file, value)]
            targets = functions_in(tuple(types)) + [
                n for one in types if one[0] == "P" for n in functions_in(one[1])
            ]
            started.update(one for one in targets if not survey.project.function(*one).is_async)
            if function.is_async and any(_runs_a_loop(survey, one) for one in targets):
                yield from _handed_over(survey, file, function, event)
    for file, shape in survey.patterns("called-back"):
        holders = survey.evaluate(file, shape.values[0])
        if any(held[0] == "O" and held[1] in _CALLING_BACK for held in holders):
            called = functions_in(survey.evaluate(file, shape.values[1]))
            started.update(node for node in called if not survey.project.function(*node).is_async)
    for node in started:
        if any(tail(event.value) in _HAVING for event in survey.project.function(*node).events):
            continue  # a loop of its own
        for event in survey.project.function(*node).events:
            if event.op != "call" or tail(event.value) not in _TOUCHING:
                continue
            touched = survey.evaluate(node[0], event.value)
            if not touched and dotted(event.value).endswith(("loop.create_task", "loop.call_soon")):
                touched = (("OM", "asyncio.AbstractEventLoop", tail(event.value), False),)
            for made in touched:
                if made[0] == "OM" and made[1].startswith("asyncio."):
                    to = "loop.call_soon_threadsafe()"
                    if tail(event.value) == "create_task":
                        to = "asyncio.run_coroutine_threadsafe()"
                    message = (
                        f"This runs in a thread, and {made[1]} is not thread-safe: the loop may not wake up. "
                        f"Hand it to {to}."
                    )
                    yield survey.finding(*node, event, "loop-bound-primitive", message, "likely")
                    break


def _runs_a_loop(survey: Survey, node: Node) -> bool:
    return any(
        event.op == "call"
        and tail(event.value) in _NAMES
        and survey.outside(node[0], event.value) & _RUN
        for event in survey.project.function(*node).events
    )


def _handed_over(survey: Survey, file: int, function: Function, event: Event) -> Iterator[Finding]:
    """Yield what a coroutine makes and hands to a thread with a loop of its own."""
    values = [
        one
        for _, value in event.args
        for one in (value[1] if value and value[0] in ("tu", "ls") else (value,))
    ]
    for value in values:
        types = survey.evaluate(file, value) if value is not None and value[0] == "c" else ()
        if any(one[0] == "O" and survey.catalogue.cls(one[1]).loop_bound for one in types):
            for made in function.events:
                if made.op == "call" and made.value == value[1]:  # type: ignore[index]
                    message = f"This is handed to a thread that runs a loop of its own: {_EACH}"
                    index = survey.project.of(file).functions.index(function)
                    yield survey.finding(
                        file, index, made, "loop-bound-primitive", message, "likely"
                    )
                    break


def _started(survey: Survey, file: int, event: Event) -> list[Node]:
    found: list[Node] = []
    for _, value in event.args:
        for one in value[1] if value is not None and value[0] in ("tu", "ls") else (value,):
            if one is not None and one[0] == "c":
                found += functions_in(survey.evaluate(file, one[1]))
    return found


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
                stack += functions_in(survey.evaluate(node[0], event.value))
    return found


def _uses(survey: Survey, node: Node, file: int, name: str) -> bool:
    one = survey.project.function(*node)
    attribute = ("a", ("self", one.owner), name.removeprefix("self."))
    for event in one.events:
        root = event.value
        while root is not None and root[0] in ("a", "c", "s", "w", "e", "E") and root != attribute:
            root = root[1]
        if name.startswith("self.") and root == attribute and node[0] == file:
            return True
        if root is None or root[0] not in ("g", "if") or root[-1] != name:
            continue
        if node[0] == file and root[0] == "g":
            return True
        values = survey.project.of(node[0]).bindings.get(name, []) if root[0] == "g" else [root]
        if any(one is not None and one[0] == "if" and one[3] == name for one in values):
            return True
    return False
