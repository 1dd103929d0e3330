"""Input of a detector: the project, its types, the call graph, and how to make a finding."""

from collections.abc import Iterable, Iterator
from functools import cached_property

from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.call_graph import Graph
from loopclinic.scanner.contexts import Contexts
from loopclinic.scanner.event_outcomes import Outcomes
from loopclinic.scanner.facts.fact_records import Event, Facts, Function, Pattern
from loopclinic.scanner.facts.values import Value, tail, uncalled
from loopclinic.scanner.finding import Finding, Frame, weighed
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import Project, Types
from loopclinic.scanner.types.inference import Inference

Call = tuple[int, int, Function, Event]
"""A call: its file, the function it stands in by position there and as its record, the event."""

HANDING = words("Thread Process Timer to_thread run_in_executor run_sync run_in_threadpool submit")
"""Names of what is handed a function to run it somewhere else."""


class Survey:
    """All of a scan that detectors share."""

    def __init__(self, paths: list[str], project: Project) -> None:
        self.paths = paths
        self.project = project
        self.catalogue = project.catalogue
        self.types = Inference(project)
        self.calls: list[Call] = [
            (file, index, function, event)
            for file, index, function in self.functions()
            for event in function.events
            if event.op == "call"
        ]
        self._named: dict[str, list[Call]] = {}
        for call in self.calls:
            self._named.setdefault(tail(call[3].value), []).append(call)
        self.graph = Graph(project, Outcomes(project, self.types), paths)
        self.roots = [
            (file, index)
            for file, index, function in self.functions()
            if function.is_async or self._called_by_loop(file, function)
        ]
        outcomes = self.graph.outcomes
        self.handing = self.calls_of(HANDING | self.catalogue.handing)
        """Calls that hand a function to a thread, an executor or a loop."""
        self.handed = [
            (file, index, event, found)
            for file, index, function, event in self.handing
            if not function.is_async
            and tail(event.value) in self.catalogue.handing
            and (found := outcomes.handed_to_loop(file, event))
        ]
        """Calls in sync code that hand something to a loop, and what that leads to."""
        later = ((one.file, one.function) for *_, found in self.handed for one in found)
        self.graph.explore([*self.roots, *(node for node in later if node[0] >= 0)])

    @cached_property
    def contexts(self) -> Contexts:
        """What calls each function from outside."""
        return Contexts(self.project, self.graph, self.roots, self.paths)

    def _called_by_loop(self, file: int, function: Function) -> bool:
        if function.decorators and function.decorator_names & self.catalogue.decorating:
            for decorator in function.decorators:
                for one in self.evaluate(file, uncalled(decorator)):
                    if one[0] == "OM" and one[2] in self.catalogue.cls(one[1]).on_loop_decorators:
                        return True
        if function.owner is None:
            return False
        for path in self.project.outside(file, function.owner):
            for name in self.catalogue.cls(path).on_loop_methods:
                if function.name == name or (
                    name[-1] == "*" and function.name.startswith(name[:-1])
                ):
                    return True
        return False

    def files(self) -> Iterator[tuple[int, Facts]]:
        """Yield the files that have to do with event loops; others only matter where they are called."""
        for number in self.project.live:
            yield number, self.project.of(number)

    def functions(self) -> Iterator[tuple[int, int, Function]]:
        """Yield all functions."""
        for number, facts in self.files():
            for index, function in enumerate(facts.functions):
                yield number, index, function

    def calls_of(self, names: Iterable[str]) -> list[Call]:
        """Return the calls of anything with one of these names, in the order of the source."""
        found = [call for name in sorted(names) for call in self._named.get(name, ())]
        return sorted(found, key=lambda call: (*call[:2], *call[3][1:3]))

    def patterns(self, kind: str) -> Iterator[tuple[int, Pattern]]:
        """Yield the shapes that were noted for a kind."""
        for number, facts in self.files():
            for one in facts.patterns:
                if one.kind == kind:
                    yield number, one

    def evaluate(self, file: int, value: Value) -> Types:
        """Return what a value may be."""
        return self.types.evaluate(file, value)

    def outside(self, file: int, value: Value) -> set[str]:
        """Return the import paths of outside functions, methods and classes that a value may be."""
        found = set()
        for one in self.evaluate(file, value):
            if one[0] in ("X", "O"):
                found.add(one[1])
            elif one[0] == "OM":
                found.add(f"{one[1]}.{one[2]}")
        return found

    def finding(  # noqa: PLR0917 - a finding has that many parts
        self,
        file: int,
        function: int,
        at: Event | Pattern,
        kind: str,
        message: str,
        confidence: str = "certain",
        chain: tuple[Frame, ...] = (),
        weight: int | None = None,
    ) -> Finding:
        """Make a finding at an event or a shape; `weight` is that of its leaf, else that of its kind."""
        path = self.paths[file]
        if not chain:
            name = self.project.function(file, function).qualname
            chain = (Frame(path, at.line, name),)
        context, entry = self.contexts.of(file, function)
        return Finding(
            *(path, at.line, at.column, kind, message),
            chain=chain,
            confidence=confidence,
            weight=weighed(kind, CONFLICTS[kind].weight if weight is None else weight, context),
            context=context,
            entry=entry,
        )
