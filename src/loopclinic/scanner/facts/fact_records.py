"""Records of facts, and their serialized form for the cache (plain tuples, for `marshal`)."""

import marshal
from dataclasses import dataclass, field
from itertools import starmap
from typing import Any, NamedTuple

from loopclinic.scanner.facts.values import Value, tail, uncalled, unsubscripted
from loopclinic.scanner.name_sets import words

_PROPERTIES = words("property cached_property hybrid_property reify")

(
    AWAITED,
    DISCARDED,
    UNUSED,
    IN_LOOP,
    IN_RETRY,
    IN_TIMEOUT,
    IN_MAIN,
    AWAITS_INSIDE,
    ENTERED,
    IN_LOCK,
    ONCE,
    ONCE_A_KEY,
    LOOP_AWAITS,
    FOR_EACH,
    FALLBACK,
    HANDLING,
) = (1 << bit for bit in range(16))
"""Flags of an event: awaited; its value is dropped, or assigned to a name that nothing reads;
inside a loop, a retry, a timeout scope, `if __name__ == "__main__"`; a `with` around an await; entered by
`async with`; inside an `async with` on a lock; only while a result is not kept yet, or none for this key; the innermost
loop or comprehension awaits something; in a comprehension; only where a key or a module is missing; in a
handler of errors."""
_GIVEN, _GUARD = 16, 22
_MANY = (1 << _GUARD - _GIVEN) - 1
GIVEN = _MANY << _GIVEN
"""All flags of how many positional arguments a call has."""
ANY_GUARD = -1 << _GUARD
TRUE, FALSE, NONE, NOT_NONE, TEXT, NO_TEXT, NO_STR = range(7)


def given(count: int, *, spread: bool) -> int:
    """Return the flags of a call with so many positional arguments, or with `*` before some."""
    return (_MANY if spread else min(count, _MANY)) << _GIVEN


def guard(position: int, needs: int) -> int:
    """Return the flags of what happens only if a parameter is true, false, None, or a text, or not."""
    return (position + 1) << _GUARD + 3 | needs << _GUARD


class Event(NamedTuple):
    """Something a function does: `op` is call, with, awith, iter, aiter, attr or import."""

    op: str
    line: int
    column: int
    value: Value
    """What is called, entered, iterated or read."""
    args: tuple[tuple[int | str, Value], ...] = ()
    """Arguments that may matter, by position or name."""
    consts: tuple[tuple[int | str, Any], ...] = ()
    """Arguments that are None, a bool or a number, by position or name; "s" stands for a named string."""
    flags: int = 0

    @property
    def guard(self) -> tuple[int, int] | None:
        """The parameter, by position, on which it depends whether this happens, and what it must be."""
        bits = self.flags >> _GUARD
        return ((bits >> 3) - 1, bits & 7) if bits else None

    def constant(self, position: int, parameter: "Parameter") -> tuple[bool, Any]:
        """Return whether a call's argument for a parameter is a constant, and which."""
        for at, value in self.consts:
            if at in (position, parameter.name):
                return True, value
        unknown = position < self.flags >> _GIVEN & _MANY
        if unknown or any(at in (position, parameter.name, "**") for at, _ in self.args):
            return False, None
        default = parameter.default
        return (True, default[1]) if default is not None and default[0] == "v" else (False, None)


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
    """Of: async, generator, method, static, class, stub, lambda, nested, closure, restricted, guarded."""
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
    entry: tuple[str, str] = ("", "")
    """What calls it from outside, and by which name."""

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
        """Return whether a comment silences a kind on a line."""
        kinds = self.ignores.get(line)
        return kinds is not None and (not kinds or kind in kinds)

    @property
    def summary(self) -> Summary:
        """What is kept of every file, also where its facts are not needed."""
        kinds = [one.is_async for one in self.functions[1:] if "lambda" not in one.traits]
        inherits = tuple(
            (one.name, tuple(tail(unsubscripted(base)) for base in one.bases))
            for one in self.classes
        )
        counts = (sum(kinds), len(kinds) - sum(kinds))
        return Summary(self.lines, *counts, self.loop_runs, inherits)

    def dump(self) -> bytes:
        """Return the facts as bytes."""
        functions = [
            (*f[:4], [*map(tuple, f.parameters)], *f[5:9], [*map(tuple, f.events)], *f[10:])
            for f in self.functions
        ]
        records = (functions, [*map(tuple, self.classes)], [*map(tuple, self.patterns)])
        rest = (self.ignores, self.lines, self.loop_runs)
        return marshal.dumps((self.bindings, self.stars, *records, *rest))

    @classmethod
    def load(cls, data: bytes) -> "Facts":
        """Read what `dump` returned.

        Raises:
            ValueError, EOFError, TypeError: it is something else.
        """
        bindings, stars, plain, classes, patterns, *rest = marshal.loads(data)  # noqa: S302 - our own cache
        functions = [
            (*f[:4], tuple(starmap(Parameter, f[4])), *f[5:9], tuple(starmap(Event, f[9])), *f[10:])
            for f in plain
        ]
        records = (
            [*map(Function._make, functions)],
            [*starmap(Class, classes)],
            [*starmap(Pattern, patterns)],
        )
        return cls(bindings, stars, *records, *rest)
