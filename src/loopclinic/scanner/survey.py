"""What a detector is given: the project, its types, the graph, and the way to a finding."""

from collections.abc import Iterator

from loopclinic.scanner.catalogue import Catalogue
from loopclinic.scanner.facts.record import Event, Facts, Function, Pattern
from loopclinic.scanner.facts.values import Value
from loopclinic.scanner.findings import Finding, Frame
from loopclinic.scanner.graph import Graph
from loopclinic.scanner.modules import Modules
from loopclinic.scanner.outcomes import Outcomes
from loopclinic.scanner.project import Project, Types
from loopclinic.scanner.store import Store
from loopclinic.scanner.types import Inference
from loopclinic.scanner.words import words

__all__ = ["Survey"]

_PROTOCOLS = words(
    "asyncio.Protocol asyncio.DatagramProtocol asyncio.BufferedProtocol"
    " asyncio.SubprocessProtocol asyncio.BaseProtocol asyncio.protocols.Protocol"
)
_CALLED_BY_LOOP = words(
    "connection_made connection_lost data_received eof_received datagram_received error_received"
    " buffer_updated get_buffer pipe_data_received process_exited pause_writing"
)


class Survey:
    """All of a scan that detectors share."""

    def __init__(
        self, paths: list[str], store: Store, modules: Modules, catalogue: Catalogue
    ) -> None:
        self.paths = paths
        self.store = store
        self.project = Project(store, modules, catalogue)
        self.types = Inference(self.project)
        self.catalogue = catalogue
        self.outcomes = Outcomes(self.project, self.types)
        self.graph = Graph(self.project, self.outcomes, paths)
        self.roots = [
            (file, index)
            for file, index, function in self.functions()
            if function.is_async or self._called_by_loop(file, function)
        ]
        self.graph.explore(self.roots)

    def _called_by_loop(self, file: int, function: Function) -> bool:
        if function.owner is None or function.name not in _CALLED_BY_LOOP:
            return False
        return any(path in _PROTOCOLS for path in self.project.outside(file, function.owner))

    def files(self) -> Iterator[tuple[int, Facts]]:
        """Yield the files that have to do with event loops; others only matter where they are called."""
        for number in self.store.live:
            yield number, self.store.facts(number)

    def functions(self) -> Iterator[tuple[int, int, Function]]:
        """Yield all functions."""
        for number, facts in self.files():
            for index, function in enumerate(facts.functions):
                yield number, index, function

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
    ) -> Finding:
        """Make a finding at an event or a shape."""
        path = self.paths[file]
        if not chain:
            name = self.project.function(file, function).qualname
            chain = (Frame(path, at.line, name),)
        return Finding(path, at.line, at.column, kind, message, confidence, chain)
