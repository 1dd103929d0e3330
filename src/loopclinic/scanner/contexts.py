"""Finds what calls each function from outside: a request, a bot, a worker, a test, a script, the start."""

import re
from collections import deque
from collections.abc import Iterator
from pathlib import PurePosixPath

from loopclinic.scanner.call_graph import Graph
from loopclinic.scanner.facts.entry_points import Entry
from loopclinic.scanner.facts.values import Value, tail
from loopclinic.scanner.finding import RAISED
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import Node, Project, functions_in
from loopclinic.scanner.routes import Routes

_TESTS = words("_tests test tests testing pytest conftest fixtures e2e cypress")
_SCRIPTS = words(
    "scripts script examples example samples sample demo demos benchmarks benchmark bench docs doc"
    " evals docs_src tutorials tutorial alembic migrations hack playground contrib"
)
_OUTSIDE = words("tools tool dev utils ci bin release")
"""Folders of scripts where they stand beside the package; inside one they hold its own code."""
_SCRIPT_FILES = words("setup noxfile fabfile manage tasks dodo")
_COMMAND_FILES = words("cli __main__ commands console")
_TEST_FILE = re.compile(r"test_.*|.*_tests?|tests?|testcases?|conftest")
_RARELY = frozenset({"start", "stop", "once", "command"})
_RUNNING = words("run run_until_complete")


def of_path(path: str) -> str:
    """Return what a file's place says of the functions in it, or nothing."""
    *folders, name = PurePosixPath(path).with_suffix("").parts
    if not _TESTS.isdisjoint(folders) or _TEST_FILE.fullmatch(name):
        return "test"
    if not _SCRIPTS.isdisjoint(folders) or (folders and folders[0] in _OUTSIDE):
        return "script"
    if not folders and name in _SCRIPT_FILES:
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
        self._routes = Routes(project)
        self._found: dict[Node, Entry] = {}
        self._callees = {
            node: set(self._called(node)) for node in graph.steps if not self._places[node[0]]
        }
        self._note_own(roots)
        self._spread_raised()
        self._spread_start()

    def of(self, file: int, function: int) -> Entry:
        """Return what calls a function, and by which name; two empty texts where nothing tells."""
        if self._places[file]:
            return self._places[file], ""
        node: int | None = function
        while node is not None:
            found = self._found.get((file, node))
            if found is not None:
                return found
            node = self._project.function(file, node).parent
        return "", ""

    def _note_own(self, roots: list[Node]) -> None:
        for file in self._project.live:
            facts = self._project.of(file)
            for index, function in enumerate(facts.functions):
                kind, name = function.entry
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
                            self._found.setdefault(node, ("once", self._name(node)))
        for node in roots:
            root = self._project.function(*node)
            if not root.is_async:
                self._found.setdefault(node, ("callback", root.qualname))

    def _run(self, file: int, value: Value) -> list[Node]:
        called = value[1] if value is not None and value[0] == "c" else None
        return functions_in(self._project.evaluate(file, called))

    def _name(self, node: Node) -> str:
        return self._project.function(*node).qualname

    def _called(self, node: Node) -> Iterator[Node]:
        for event in self._project.function(*node).events:
            if event.op == "call":
                yield from functions_in(self._project.evaluate(node[0], event.value))

    def _spread_raised(self) -> None:
        """Hand what calls a function on to what it calls, requests first."""
        for kind in RAISED:
            queue = deque(node for node, entry in self._found.items() if entry[0] == kind)
            while queue:
                node = queue.popleft()
                for callee in self._callees.get(node, ()):
                    if callee not in self._found and not self._places[callee[0]]:
                        self._found[callee] = self._found[node]
                        queue.append(callee)

    def _spread_start(self) -> None:
        """Hand start, stop and what runs once on to what nothing else calls."""
        callers: dict[Node, set[Node]] = {}
        for node, callees in self._callees.items():
            for callee in callees:
                callers.setdefault(callee, set()).add(node)
        queue = deque(node for node, entry in self._found.items() if entry[0] in _RARELY)
        while queue:
            node = queue.popleft()
            for callee in self._callees.get(node, ()):
                entries = {self._found.get(one, ("",))[0] for one in callers[callee]}
                if callee not in self._found and entries <= _RARELY:
                    self._found[callee] = self._found[node]
                    queue.append(callee)
