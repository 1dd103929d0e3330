"""From blocking leaves back through sync functions: the shortest way to what blocks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.catalogue import Leaf
from loopclinic.scanner.facts.record import IN_RETRY, Event, Function
from loopclinic.scanner.facts.values import dotted, tail
from loopclinic.scanner.findings import Frame, weakest
from loopclinic.scanner.outcomes import Outcome, Outcomes
from loopclinic.scanner.project import Project

__all__ = ["Graph", "Witness"]

Node = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Witness:
    """Why a function blocks: the event, and the function it leads to (None at the leaf)."""

    leaf: Leaf
    depth: int
    event: Event | None
    to: Node | None
    confidence: str = "certain"

    @property
    def order(self) -> tuple[int, int]:
        """What is kept: the shortest, and among those the kind that takes precedence."""
        return (self.depth, CONFLICTS[self.leaf.kind].rank)


class _Call(NamedTuple):
    """Where a function is called from."""

    caller: Node
    event: Event
    outcome: Outcome


class Graph:
    """The sync functions that async code reaches, and a witness for each that blocks."""

    def __init__(self, project: Project, outcomes: Outcomes, paths: list[str]) -> None:
        self.project = project
        self.outcomes = outcomes
        self.paths = paths
        self.witnesses: dict[Node, Witness] = {}
        self.steps: dict[Node, list[tuple[Event, list[Outcome]]]] = {}
        self.unresolved = 0

    def explore(self, roots: Iterable[Node]) -> None:
        """Follow roots through all sync functions they reach, then find the witnesses."""
        callers: dict[Node, list[_Call]] = {}
        level: dict[Node, Witness] = {}
        stack = list(roots)
        while stack:
            node = stack.pop()
            if node in self.steps:
                continue
            steps = self._steps(node)
            self.steps[node] = steps
            function = self.project.function(*node)
            for event, outcomes in steps:
                for one in outcomes:
                    if one.leaf is None:
                        target = (one.file, one.function)
                        callers.setdefault(target, []).append(_Call(node, event, one))
                        stack.append(target)
                    elif not function.is_async:
                        found = Witness(colored(one.leaf, event), 1, event, None, one.confidence)
                        _keep(level, node, found)
            retrier = None if function.is_async else self._retrier(node)
            if retrier is not None:
                _keep(level, node, Witness(retrier, 1, None, None))
        # Ways that are only hints come last: a shorter one must not hide a surer one.
        surely = {
            target: [call for call in calls if call.outcome.confidence != "hint"]
            for target, calls in callers.items()
        }
        self._spread(level, surely)
        hinted: dict[Node, Witness] = {}
        for target in list(self.witnesses):
            self._lift(hinted, target, callers)
        self._spread(hinted, callers)

    def _spread(self, level: dict[Node, Witness], callers: dict[Node, list[_Call]]) -> None:
        while level:
            self.witnesses.update(level)
            above: dict[Node, Witness] = {}
            for node in level:
                self._lift(above, node, callers)
            level = above

    def _lift(
        self, above: dict[Node, Witness], node: Node, callers: dict[Node, list[_Call]]
    ) -> None:
        """Give the sync callers of a function that has a witness one of their own."""
        witness = self.witnesses[node]
        for call in callers.get(node, ()):
            if call.caller in self.witnesses or self.project.function(*call.caller).is_async:
                continue
            sure = weakest(witness.confidence, call.outcome.confidence)
            leaf = colored(witness.leaf, call.event)
            _keep(above, call.caller, Witness(leaf, witness.depth + 1, call.event, node, sure))

    def _steps(self, node: Node) -> list[tuple[Event, list[Outcome]]]:
        function = self.project.function(*node)
        self.unresolved += function.unresolved
        before = self.outcomes.unresolved
        steps = []
        for event in function.events:
            found = self.outcomes.of(node[0], event)
            if found:
                steps.append((event, found))
        self.unresolved += self.outcomes.unresolved - before
        begun = {
            one.leaf.kind
            for _, found in steps
            for one in found
            if one.leaf is not None and not one.leaf.continues
        }
        if not function.is_async and _looks_for_loop(function):
            begun.add("")  # it runs a loop of its own only where none is running
        facts = self.project.of(node[0])
        kept = []
        for event, found in steps:
            left = [
                one
                for one in found
                if one.leaf is None
                or not (
                    _already_told(one.leaf, begun)
                    or facts.ignored(event.line, colored(one.leaf, event).kind)
                )
            ]
            if left:
                kept.append((event, left))
        return kept

    def _retrier(self, node: Node) -> Leaf | None:
        decorators = self.outcomes.types.decorators
        path = decorators.retrier(node[0], self.project.function(*node))
        return Leaf("blocking-retry", path, "likely") if path is not None else None

    def chain(self, file: int, function: int, event: Event, outcome: Outcome) -> tuple[Frame, ...]:
        """Return the frames from an event to the leaf that it leads to."""
        return tuple(self._frames(file, function, event, outcome))

    def _frames(self, file: int, function: int, event: Event, outcome: Outcome) -> Iterator[Frame]:
        caller = self.project.function(file, function)
        leaf = outcome.leaf
        name = leaf.name if leaf is not None and outcome.through is None else dotted(event.value)
        yield Frame(self.paths[file], event.line, caller.qualname, name)
        if outcome.through is not None:
            where, index = outcome.through
            through = self.project.function(where, index)
            called = leaf.name if leaf is not None else "what it is handed"
            yield Frame(self.paths[where], through.line, through.qualname, called)
        if leaf is not None:
            return
        node: Node | None = (outcome.file, outcome.function)
        while node is not None:
            one = self.project.function(*node)
            witness = self.witnesses[node]
            line = witness.event.line if witness.event is not None else one.line
            last = witness.to is None
            if last or witness.event is None:
                call = witness.leaf.name
            else:
                call = dotted(witness.event.value)
            yield Frame(self.paths[node[0]], line, one.qualname, call)
            node = witness.to


def _already_told(leaf: Leaf, begun: set[str]) -> bool:
    """Whether a leaf goes on with another one of its function, or runs only where no loop does."""
    if leaf.kind == "nested-loop" and "" in begun:
        return True
    return leaf.continues and leaf.kind in begun


def _looks_for_loop(function: Function) -> bool:
    return any(
        event.op == "call" and tail(event.value) in ("get_running_loop", "_get_running_loop")
        for event in function.events
    )


def colored(leaf: Leaf, event: Event) -> Leaf:
    """Return the leaf, a sleep inside a retry as what it is."""
    if leaf.kind == "blocking-sleep" and event.flags & IN_RETRY:
        return Leaf("blocking-retry", leaf.name, leaf.confidence, leaf.source)
    return leaf


def _keep(level: dict[Node, Witness], node: Node, found: Witness) -> None:
    before = level.get(node)
    if before is None or found.order < before.order:
        level[node] = found
