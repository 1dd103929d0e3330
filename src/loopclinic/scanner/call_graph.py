"""Call graph: the shortest path from an async function through sync ones to a blocking call."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from loopclinic.blocking_calls import Leaf
from loopclinic.conflicts import CONFLICTS, WEIGHTS
from loopclinic.scanner.event_outcomes import Outcome, Outcomes
from loopclinic.scanner.facts.fact_records import (
    AWAITS_INSIDE,
    FOR_EACH,
    HANDLING,
    IN_LOOP,
    IN_RETRY,
    LOOP_AWAITS,
    ONCE_A_KEY,
    Event,
    Function,
)
from loopclinic.scanner.facts.values import dotted, tail
from loopclinic.scanner.finding import Frame, weakest
from loopclinic.scanner.project import Node, Project

_PIECEMEAL = ("os.walk", "os.scandir", "glob.iglob", "Path.glob", "Path.rglob", "Path.iterdir")
_TEMPORARY = re.compile(r"te?mp(_|\b|dir|folder|path)|scratch", re.IGNORECASE)
_SHORT = 0.005
"""A sleep of so many seconds is made to let another thread run, and hardly holds anybody up."""
_FEW_ROUNDS = 20_000
"""So many rounds of PBKDF2 take less than 10 ms."""
_CLEARING = (".rollback", ".rmtree", ".unlink", "os.remove")


@dataclass(frozen=True, slots=True)
class Witness:
    """Why a function blocks: the event, and the function it leads to (None at the leaf)."""

    leaf: Leaf
    depth: int
    event: Event | None
    to: Node | None
    confidence: str = "certain"

    @property
    def order(self) -> tuple[int, int, int]:
        """What is kept: the heaviest, of those the nearest, then the kind that takes precedence."""
        return (-self.leaf.weight, self.depth, CONFLICTS[self.leaf.kind].rank)


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
        hinted: dict[Node, Witness] = {}
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
                        sure = weakest(one.confidence, one.leaf.confidence)
                        found = Witness(colored(one.leaf, event), 1, event, None, one.confidence)
                        _keep(hinted if sure == "hint" else level, node, found)
            retrier = None if function.is_async else self._retrier(node)
            if retrier is not None:
                _keep(level, node, Witness(retrier, 1, None, None))
        # Ways that are only hints come last: a heavier one must not hide a surer one.
        surely = {
            target: [call for call in calls if call.outcome.confidence != "hint"]
            for target, calls in callers.items()
        }
        self._spread(level, surely)
        for target in list(self.witnesses):
            self._lift(hinted, target, callers)
        self._spread(hinted, callers)

    def _spread(self, found: dict[Node, Witness], callers: dict[Node, list[_Call]]) -> None:
        """Give callers their witnesses, from the heaviest leaves to the lightest."""
        for weight in reversed(range(len(WEIGHTS))):
            level = {
                node: one
                for node, one in found.items()
                if one.leaf.weight == weight and node not in self.witnesses
            }
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
        steps = [(event, self.outcomes.of(node[0], event)) for event in function.events]
        if not function.is_async:  # what it hands to a loop runs after it has returned
            steps = [(event, [one for one in found if not one.later]) for event, found in steps]
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

        def tells(event: Event, leaf: Leaf | None) -> bool:
            return leaf is None or not (
                _already_told(leaf, begun) or facts.ignored(event.line, colored(leaf, event).kind)
            )

        kept = [(event, [one for one in found if tells(event, one.leaf)]) for event, found in steps]
        return [(event, left) for event, left in kept if left]

    def _retrier(self, node: Node) -> Leaf | None:
        path = self.outcomes.types.functions.retrier(node[0], self.project.function(*node))
        return Leaf("blocking-retry", path, "likely") if path is not None else None

    def chain(self, file: int, function: int, event: Event, outcome: Outcome) -> Iterator[Frame]:
        """Yield the frames from an event to the leaf that it leads to."""
        caller = self.project.function(file, function)
        leaf = outcome.leaf
        name = (
            leaf.name
            if leaf is not None and outcome.through is None
            else self.outcomes.named(file, event.value)
        )
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
            event_there = witness.event
            line = event_there.line if event_there is not None else one.line
            call = witness.leaf.name
            if event_there is not None and witness.to is not None:
                call = self.outcomes.named(node[0], event_there.value)
            yield Frame(self.paths[node[0]], line, one.qualname, call)
            node = witness.to


def _already_told(leaf: Leaf, begun: set[str]) -> bool:
    """Return whether a leaf goes on with another one of its function, or runs only where no loop does."""
    if leaf.kind == "nested-loop" and "" in begun:
        return True
    return leaf.continues and leaf.kind in begun


def _looks_for_loop(function: Function) -> bool:
    return any(
        event.op == "call" and tail(event.value) in ("get_running_loop", "_get_running_loop")
        for event in function.events
    )


def colored(leaf: Leaf, event: Event) -> Leaf:
    """Return the leaf, a sleep inside a retry as `blocking-retry`, one of a few milliseconds as light.

    What is small weighs more in a loop that awaits nothing else, what happens once for each key of a cache, or clears up
    after an error, is light. A walk that awaits something for each folder lists one folder at a time.
    """
    many = event.flags & (IN_LOOP | FOR_EACH)
    in_one_go = many and not event.flags & LOOP_AWAITS
    if leaf.small and (in_one_go or ("recursive", True) in event.consts):
        leaf = replace(leaf, own_weight=1, small=False)
    consts = dict(event.consts)
    rounds = consts.get(3, consts.get("iterations"))
    few = leaf.name == "hashlib.pbkdf2_hmac" and isinstance(rounds, int) and rounds < _FEW_ROUNDS
    after_error = event.flags & HANDLING and leaf.name.endswith(_CLEARING)
    if event.flags & ONCE_A_KEY or few or after_error:
        leaf = replace(leaf, own_weight=0)
    if leaf.name == "shutil.rmtree" and _TEMPORARY.search(dotted(dict(event.args).get(0))):
        return replace(leaf, own_weight=min(1, leaf.weight))
    if event.flags & AWAITS_INSIDE and leaf.name.endswith(_PIECEMEAL):
        return replace(leaf, own_weight=0)
    if leaf.kind != "blocking-sleep":
        return leaf
    if event.flags & IN_RETRY:
        return replace(leaf, kind="blocking-retry")
    given = consts.get(0)
    if isinstance(given, int | float) and given <= _SHORT and not event.flags & IN_LOOP:
        return replace(leaf, own_weight=0)
    return leaf


def _keep(level: dict[Node, Witness], node: Node, found: Witness) -> None:
    before = level.get(node)
    if before is None or found.order < before.order:
        level[node] = found
