"""State of the pass inside one function or module: names, events, results."""

from dataclasses import dataclass, field
from typing import Any

from loopclinic.scanner.facts.fact_records import UNUSED, Event, Function, Parameter
from loopclinic.scanner.facts.values import FINITE, Value, tail

_EACH_COUNTS = frozenset({"Thread", "run"})
"""Calls of which two in a function are more than one."""


def union(values: list[Value]) -> Value:
    """Return one value for several alternatives, without the unknown ones."""
    flat: list[Value] = []
    for value in values:
        parts = value[1] if value is not None and value[0] == "u" else (value,)
        flat += [one for one in parts if one is not None and one not in flat]
    if len(flat) <= 1:
        return flat[0] if flat else None
    return ("u", tuple(flat[:FINITE]))


@dataclass(slots=True)
class Scope:
    """What is known so far. `path` names the branch that is being read."""

    index: int
    name: str
    qualname: str
    line: int
    parent: "Scope | None" = None
    traits: list[str] = field(default_factory=list)
    owner: int | None = None
    """The class whose body this is the method of."""
    class_body: int | None = None
    """The class whose body is read now; class bodies share the scope they stand in."""
    parameters: list[Parameter] = field(default_factory=list)
    decorators: tuple[Value, ...] = ()
    annotation: Value = None
    returns: list[Value] = field(default_factory=list)
    yields: list[Value] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    names: dict[str, tuple[Value, tuple[int, ...]]] = field(default_factory=dict)
    outer: set[str] = field(default_factory=set)
    """Names declared global or nonlocal."""
    loads: set[str] = field(default_factory=set)
    assigned: list[tuple[str, int]] = field(default_factory=list)
    """Names that hold the result of a call, and that call's place in `events`."""
    path: tuple[int, ...] = ()
    branches: int = 0
    flags: int = 0
    known: dict[Value, Value] = field(default_factory=dict)
    """What tests have found out: a value -> the same, narrowed; ("ready", value) of what would not wait."""
    rare: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Names that hold the answer of a test -> the flags of what runs where it is true, and false."""
    settings: dict[str, Value] = field(default_factory=dict)
    """Attributes of `self` that were assigned once and surely -> what."""
    unresolved: int = 0
    opens: bool = False
    """Whether a name here holds the result of a call that may give something to be closed."""
    entry: tuple[str, str] = ("", "")
    """What calls it from outside, and by which name."""
    seen: set[tuple[object, ...]] = field(default_factory=set)

    @property
    def is_module(self) -> bool:
        """Whether this is the module's own code."""
        return self.parent is None

    @property
    def owning_class(self) -> int | None:
        """The class whose method this is, or stands in."""
        scope: Scope | None = self
        while scope is not None and scope.owner is None:
            scope = scope.parent
        return scope.owner if scope is not None else None

    def bind(self, name: str, value: Value) -> None:
        """Record an assignment: replaces one of an outer or the same branch, joins one of another."""
        before = self.names.get(name)
        if before is not None and before[1][: len(self.path)] != self.path:
            value = union([before[0], value])
        self.names[name] = (value, self.path)

    def branch(self, *, leaves: bool = False) -> tuple[int, ...]:
        """Enter a branch, of a negative number if it leaves; return the path to put back at its end."""
        before = self.path
        self.branches += 1
        self.path = (*before, -self.branches if leaves else self.branches)
        return before

    def emit(self, parts: tuple[Any, ...]) -> None:
        """Add an event of these parts; in sync code one of a kind is enough."""
        if self.parent is not None and "async" not in self.traits:
            key = (parts[0], *parts[3:])
            if key in self.seen and tail(parts[3]) not in _EACH_COUNTS:
                return
            self.seen.add(key)
        self.events.append(tuple.__new__(Event, parts))

    def close(self) -> Function:
        """Return the finished record."""
        for name, position in self.assigned:
            if name not in self.loads:
                event = self.events[position]
                self.events[position] = event._replace(flags=event.flags | UNUSED)
        return Function(
            self.name,
            self.qualname,
            self.line,
            tuple(self.traits),
            tuple(self.parameters),
            self.decorators,
            self.annotation,
            (union(self.returns),) if self.returns else (),
            (union(self.yields),) if self.yields else (),
            tuple(self.events),
            self.owner,
            self.parent.index if self.parent is not None else None,
            self.unresolved,
            self.entry,
        )
