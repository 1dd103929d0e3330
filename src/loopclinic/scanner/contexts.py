"""Finds what calls each function from outside: a request, a bot, a worker, a test, a script, the start."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import PurePosixPath

from loopclinic.scanner.call_graph import Graph
from loopclinic.scanner.facts.entry_points import Entry
from loopclinic.scanner.facts.fact_records import IN_MAIN, Event
from loopclinic.scanner.facts.values import Value, tail
from loopclinic.scanner.finding import RAISED
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import Node, Project, functions_in
from loopclinic.scanner.routes import Routes

_TESTS = words("_tests test tests testing pytest conftest fixtures e2e cypress")
_SCRIPTS = words(
    "scripts script examples example samples sample demo demos benchmarks benchmark bench docs doc"
    " evals docs_src tutorials tutorial alembic migration migrations hack playground contrib"
)
_OUTSIDE = words("tools tool dev utils ci bin release")
"""Folders of scripts where they stand beside the package; inside one they hold its own code."""
_SCRIPT_FILES = words("setup noxfile fabfile manage tasks dodo")
_COMMAND_FILES = words("cli __main__ commands console setup setup_wizard wizard onboarding")
_TEST_FILE = re.compile(
    r"test_.*|.*_tests?|tests?|testcases?|conftest|load_?test(ing)?|(mock|mocks|harness)(_.*)?|.*_(mocks?|harness)"
)
_TRIAL_FILE = re.compile(r"(demo|example)s?(_.*)?|.*_(demo|example)s?")
_TRIAL = re.compile(r"_*(demo|example|test|self_?test|smoke|try_?out|bench)(s|mark)?(_|$)")
"""Names of functions that try a module out where it is run by itself."""
_ENDING = re.compile(
    r"_*(roll_?back|restart|reboot|shutdown|(self_?|apply_?)?(update|upgrade)(_|$))"
)
_RESTART = re.compile(r"restart|reboot|_exit$|execv|execl|shutdown")
_RARELY = frozenset({"start", "stop", "once", "command", "script"})
_RUNNING = words("run run_until_complete")
_STARTING = re.compile(r"_*(initiali[sz]e|init|set_?up|start_?up|bootstrap|prepare|migrate)(_|$)")
"""Names of functions that, called by what runs once, run before anybody else is served."""


def of_path(path: str) -> str:
    """Return what a file's place says of the functions in it, or nothing."""
    *folders, name = PurePosixPath(path).with_suffix("").parts
    if not _TESTS.isdisjoint(folders) or _TEST_FILE.fullmatch(name):
        return "test"
    if not _SCRIPTS.isdisjoint(folders) or (folders and folders[0] in _OUTSIDE):
        return "script"
    if (not folders and name in _SCRIPT_FILES) or _TRIAL_FILE.fullmatch(name):
        return "script"
    if (
        name in _COMMAND_FILES
        or name.endswith("_cli")
        or {"cli", "cmds", "management"} & set(folders)
    ):
        return "command"
    return ""


class Contexts:
    """Answers by function; worked out once, after the call graph."""

    def __init__(self, project: Project, graph: Graph, roots: list[Node], paths: list[str]) -> None:
        self._project = project
        self._places = [of_path(path) for path in paths]
        self._packages = {at for at, path in enumerate(paths) if path.endswith("__main__.py")}
        """Files that run a package, or are a plugin of a bot, whose handlers stand there."""
        self._routes = Routes(project)
        self._found: dict[Node, Entry] = {}
        self._restricted: set[Node] = set()
        self._callees = {
            node: set(self._called(node)) for node in graph.steps if not self._places[node[0]]
        }
        self._note_own(roots)
        self._spread_raised()
        self._spread_start()

    def of(self, file: int, function: int) -> Entry:
        """Return what calls a function, and by which name; two empty texts where nothing tells."""
        own = self._found.get((file, function), ("", ""))
        if self._places[file] and not (file in self._packages and own[0] in RAISED):
            return self._places[file], ""
        node: int | None = function
        while node is not None:
            found = self._found.get((file, node))
            if found is not None:
                return found
            node = self._project.function(file, node).parent
        return "", ""

    def restricted(self, file: int, function: int) -> bool:
        """Return whether only those who run the program may ask for what calls a function."""
        return (file, function) in self._restricted

    @cached_property
    def served(self) -> set[Node]:
        """What a request, a bot, a worker or a callback leads to, sync handlers on threads included."""
        reached = {node for node, entry in self._found.items() if entry[0] in RAISED}
        queue = deque(reached)
        while queue:
            node = queue.popleft()
            new = self._callees.get(node) or set(self._called(node))
            queue.extend(new - reached)
            reached |= new
        return reached

    def _note_own(self, roots: list[Node]) -> None:
        for file in self._project.live:
            facts = self._project.of(file)
            for index, function in enumerate(facts.functions):
                kind, name = function.entry
                if _ENDING.match(function.name) and any(map(_restarts, function.events)):
                    kind, name = "stop", function.name
                if kind == "request":
                    name = self._routes.name(file, function)
                if kind:
                    self._found[file, index] = kind, name
            for one in facts.patterns:
                if one.kind == "route":
                    path = self._routes.prefixed(file, one.values[1], one.note)
                    for node in functions_in(self._project.evaluate(file, one.values[0])):
                        self._found[node] = ("request", path)
            for function in facts.functions:
                for event in function.events:
                    if event.op == "call" and event.args and tail(event.value) in _RUNNING:
                        for node in self._run(file, event.args[0][1]):
                            name = self._name(node)
                            tried = event.flags & IN_MAIN and _TRIAL.match(name)
                            entry = (
                                ("script", name) if tried else self._in_start(node, ("once", name))
                            )
                            self._found.setdefault(node, entry)
                    elif event.op == "call" and event.args and tail(event.value) == "run_sync":
                        for node in functions_in(self._project.evaluate(file, event.args[0][1])):
                            if self._project.function(*node).is_async:  # Tornado's, no thread's
                                self._found.setdefault(node, ("once", self._name(node)))
        for node in roots:
            root = self._project.function(*node)
            if not root.is_async:
                self._found.setdefault(node, ("callback", root.qualname))

    def _run(self, file: int, value: Value) -> list[Node]:
        called = value[1] if value is not None and value[0] == "c" else None
        return functions_in(self._project.evaluate(file, called))

    def _in_start(self, node: Node, entry: Entry) -> Entry:
        """Return what calls a function: the start, if it is named so and called by what runs once."""
        starts = entry[0] == "once" and _STARTING.match(self._project.function(*node).name)
        return ("start", self._name(node)) if starts else entry

    def _name(self, node: Node) -> str:
        return self._project.function(*node).qualname

    def _called(self, node: Node) -> Iterator[Node]:
        for event in self._project.function(*node).events:
            if event.op == "call":
                yield from functions_in(self._project.evaluate(node[0], event.value))

    def _spread_raised(self) -> None:
        """Hand what calls a function on to what it calls: requests first, those of the few last."""
        for kind in RAISED:
            nodes = [node for node, entry in self._found.items() if entry[0] == kind]
            rare = {one for one in nodes if "restricted" in self._project.function(*one).traits}
            self._restricted |= rare
            for some in (filter(lambda one: one not in rare, nodes), rare):
                self._spread(some, lambda callee: not self._places[callee[0]])

    def _spread_start(self) -> None:
        """Hand start, stop and what runs once on to what nothing else calls."""
        callers: dict[Node, set[Node]] = {}
        for node, callees in self._callees.items():
            for callee in callees:
                callers.setdefault(callee, set()).add(node)

        def rarely(callee: Node) -> bool:
            return {self._found.get(one, ("",))[0] for one in callers[callee]} <= _RARELY

        self._spread((one for one, entry in self._found.items() if entry[0] in _RARELY), rarely)

    def _spread(self, nodes: Iterable[Node], takes: Callable[[Node], bool]) -> None:
        queue = deque(nodes)
        while queue:
            node = queue.popleft()
            for callee in self._callees.get(node, ()):
                if callee not in self._found and takes(callee):
                    self._found[callee] = self._in_start(callee, self._found[node])
                    self._restricted |= {callee} if node in self._restricted else set()
                    queue.append(callee)


def _restarts(event: Event) -> bool:
    """Return whether a call ends or restarts the program, or says in its arguments that this follows."""
    named = (str(at) for at, value in event.consts if value is True)
    return event.op == "call" and any(map(_RESTART.search, (tail(event.value), *named)))
