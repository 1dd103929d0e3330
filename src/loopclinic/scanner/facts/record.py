"""The records that a pass leaves, and their form for the cache (plain tuples, for `marshal`)."""

import marshal
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from loopclinic.scanner.facts.values import Value, tail, uncalled
from loopclinic.scanner.words import words

__all__ = [
    "AWAITED",
    "AWAITS_INSIDE",
    "DISCARDED",
    "IN_LOOP",
    "IN_MAIN",
    "IN_RETRY",
    "IN_TIMEOUT",
    "UNUSED",
    "VERSION",
    "Class",
    "Event",
    "Facts",
    "Function",
    "Parameter",
    "Pattern",
    "Summary",
]

_PROPERTIES = words("property cached_property hybrid_property reify")

VERSION = 1
"""Of the facts' form: a cache written by another one is not read."""

AWAITED, DISCARDED, UNUSED, IN_LOOP, IN_RETRY, IN_TIMEOUT, IN_MAIN, AWAITS_INSIDE = (
    1 << bit for bit in range(8)
)
"""Flags of an event: awaited; its value is dropped, or assigned to a name that nothing reads;
inside a loop, a retry, a timeout scope, `if __name__ == "__main__"`; a `with` around an await."""


class Event(NamedTuple):
    """Something a function does: `op` is call, with, awith, iter, aiter or attr."""

    op: str
    line: int
    column: int
    value: Value
    """What is called, entered, iterated or read."""
    args: tuple[tuple[int | str, Value], ...] = ()
    """Arguments that may matter, by position or name."""
    consts: tuple[tuple[int | str, Any], ...] = ()
    """Arguments that are None, a bool or a number, by position or name."""
    flags: int = 0


class Parameter(NamedTuple):
    """A parameter; `annotation` and `default` are values."""

    name: str
    annotation: Value
    default: Value


class Function(NamedTuple):
    """A function, a lambda, or (first in its file) the module's own code."""

    name: str
    qualname: str
    line: int
    traits: tuple[str, ...]
    """Of: async, generator, method, static, class, stub, lambda, nested, closure."""
    parameters: tuple[Parameter, ...]
    decorators: tuple[Value, ...]
    annotation: Value
    returns: tuple[Value, ...]
    yields: tuple[Value, ...]
    events: tuple[Event, ...]
    owner: int | None
    """The class it is a method of."""
    parent: int | None
    """The function it is defined in."""
    unresolved: int
    """Calls on something that nothing is known about."""

    @property
    def is_async(self) -> bool:
        """Whether calling it gives a coroutine or an async generator."""
        return "async" in self.traits

    @property
    def is_property(self) -> bool:
        """Whether reading this method calls it."""
        return not _PROPERTIES.isdisjoint(self.decorator_names)

    @property
    def decorator_names(self) -> set[str]:
        """The last names of its decorators."""
        return {tail(uncalled(one)) for one in self.decorators}


class Class(NamedTuple):
    """A class; `attributes` holds what class body and methods assign, `closed` what they close."""

    name: str
    qualname: str
    line: int
    bases: tuple[Value, ...]
    decorators: tuple[Value, ...]
    attributes: dict[str, list[Value]]
    methods: dict[str, int]
    closed: tuple[str, ...]


class Pattern(NamedTuple):
    """A shape in the syntax that a kind may come from, to be judged when names are resolved."""

    kind: str
    line: int
    column: int
    function: int
    values: tuple[Value, ...] = ()
    note: str = ""


class Summary(NamedTuple):
    """Figures of one file, and which names its classes inherit from."""

    lines: int
    async_functions: int
    sync_functions: int
    loop_runs: int
    inherits: tuple[tuple[str, tuple[str, ...]], ...]


def _plain(base: Value) -> Value:
    return base[1] if base is not None and base[0] == "an" else base


@dataclass(slots=True)
class Facts:
    """All that is kept of one file."""

    bindings: dict[str, list[Value]] = field(default_factory=dict)
    stars: list[tuple[int, str]] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    classes: list[Class] = field(default_factory=list)
    patterns: list[Pattern] = field(default_factory=list)
    ignores: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Line -> the kinds ignored there; an empty tuple means all."""
    lines: int = 0
    loop_runs: int = 0
    """Calls of asyncio.run."""

    def ignored(self, line: int, kind: str) -> bool:
        """Whether a comment silences a kind on a line."""
        kinds = self.ignores.get(line)
        return kinds is not None and (not kinds or kind in kinds)

    @property
    def summary(self) -> Summary:
        """What is kept of every file, also where its facts are not needed."""
        kinds = [one.is_async for one in self.functions[1:] if "lambda" not in one.traits]
        inherits = [
            (one.name, tuple(tail(_plain(base)) for base in one.bases)) for one in self.classes
        ]
        return Summary(
            self.lines, sum(kinds), len(kinds) - sum(kinds), self.loop_runs, tuple(inherits)
        )

    def dump(self) -> bytes:
        """Return the facts as bytes."""
        functions = [
            (
                *one[:4],
                [tuple(p) for p in one.parameters],
                *one[5:9],
                [tuple(e) for e in one.events],
                *one[10:],
            )
            for one in self.functions
        ]
        return marshal.dumps(
            (
                self.bindings,
                self.stars,
                functions,
                [tuple(one) for one in self.classes],
                [tuple(one) for one in self.patterns],
                self.ignores,
                self.lines,
                self.loop_runs,
            )
        )

    @classmethod
    def load(cls, data: bytes) -> "Facts":
        """Read what `dump` returned.

        Raises:
            ValueError, EOFError, TypeError: it is something else.
        """
        bindings, stars, functions, classes, patterns, ignores, lines, runs = marshal.loads(data)  # noqa: S302 - our own cache
        return cls(
            bindings,
            stars,
            [
                Function._make(
                    (
                        *one[:4],
                        tuple(Parameter(*p) for p in one[4]),
                        *one[5:9],
                        tuple(Event(*e) for e in one[9]),
                        *one[10:],
                    )
                )
                for one in functions
            ],
            [Class(*one) for one in classes],
            [Pattern(*one) for one in patterns],
            ignores,
            lines,
            runs,
        )
