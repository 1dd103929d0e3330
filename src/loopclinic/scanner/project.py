"""The facts of all files together: module-level names, classes and their bases, members."""

import builtins
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

from loopclinic.blocking_calls import Catalogue
from loopclinic.scanner.facts.fact_records import Class, Event, Facts, Function, Summary
from loopclinic.scanner.facts.values import FINITE, Value, tail, unsubscripted
from loopclinic.scanner.modules import Modules

Type = tuple[Any, ...]
"""What a value may be, by its first item:

    ("M", file)              a module of the project
    ("X", path)              something outside, by import path
    ("O", path, bounded)     an instance of a class outside
    ("OM", path, name)       a method of one
    ("Z", path, names)       a chain of attributes of a vendor's client
    ("F", file, function)    a function; ("B", file, function, file, class) a bound method
    ("C", file, class)       a class; ("I", file, class) an instance
    ("K", types)             an awaitable that gives these; ("R", types) an iterable of these
    ("D", types)             a mapping to these; ("T", parts) a tuple
    ("S", types) ("A", types) a context manager that gives these, for `with` or `async with`
    ("V", types)             something that returns these when it is called
    ("P", types)             a reference: calling it calls these
"""
Types = tuple[Type, ...]

Node = tuple[int, int]
"""A function, by its file and its position there."""

Member = tuple[str, int, int, Any]
"""("method", file, class, function) or ("attribute", file, class, values)."""

_PROTOCOLS = frozenset({"typing.Protocol", "typing_extensions.Protocol"})
_BUILTINS = frozenset(dir(builtins))
_LARGE = 1500
"""Files from which on only those that have to do with event loops are read for callers."""


def joined(parts: Iterable[Types]) -> Types:
    """Return all of these types, each once."""
    return tuple(dict.fromkeys(one for part in parts for one in part))


def instance_of(path: str) -> Types:
    """Return an instance of the class at an import path; nothing for an empty path."""
    return (("O", path, False),) if path else ()


def inside(types: Types, tag: str) -> Types:
    """Return what the types of a tag give: the elements of "R", the results of "K"."""
    return joined(one[1] for one in types if one[0] == tag)


def functions_in(types: Types) -> list[Node]:
    """Return the functions and bound methods among types."""
    return [(one[1], one[2]) for one in types if one[0] in ("F", "B")]


class Project:
    """Files by position; the facts of each are decoded when they are first asked for."""

    def __init__(
        self,
        dumps: Mapping[int, bytes],
        summaries: Mapping[int, Summary],
        live: list[int],
        modules: Modules,
        catalogue: Catalogue,
    ) -> None:
        """Keep what was found. `live` are the files whose source has to do with event loops."""
        self._dumps = dumps
        self._facts: dict[int, Facts] = {}
        self.live = live
        self.modules = modules
        self.catalogue = catalogue
        self._ancestors: dict[tuple[int, int], Types] = {}
        self._children: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._without: list[Function] = []
        """Functions as some of their calls run them; known by negative numbers."""
        self._variants: dict[tuple[int, int, frozenset[tuple[int, int]]], int] = {}
        self._calls: dict[str, list[tuple[int, Event]]] | None = None
        self._inherits: dict[str, list[tuple[int, int]]] = {}
        """Name -> the classes that inherit from something of that name."""
        for number, summary in summaries.items():
            for index, (_, bases) in enumerate(summary.inherits):
                for base in bases:
                    self._inherits.setdefault(base, []).append((number, index))
        self.evaluate: Callable[[int, Value], Types]
        """Returns what a value of a file may be; set by `Inference`."""

    def evaluate_all(self, file: int, values: Iterable[Value]) -> Types:
        """Return what any of several values of a file may be."""
        return joined(self.evaluate(file, value) for value in values)[: 2 * FINITE]

    def calls(self, name: str) -> list[tuple[int, Event]]:
        """Return the calls, with arguments, of anything of that name.

        In all files of a project, in the live ones of a large tree.
        """
        if self._calls is None:
            self._calls = {}
            for file in self.live if len(self._dumps) > _LARGE else sorted(self._dumps):
                for function in self.of(file).functions:
                    for event in function.events:
                        if event.op == "call" and event.args:
                            called = tail(event.value)
                            self._calls.setdefault(called, []).append((file, event))
        return self._calls.get(name, [])

    def of(self, file: int) -> Facts:
        """Return the facts of a file that was read."""
        found = self._facts.get(file)
        if found is None:
            found = self._facts[file] = Facts.load(self._dumps[file])
        return found

    def has(self, file: int | None) -> TypeGuard[int]:
        """Return whether this is a file that was read."""
        return file in self._dumps

    def function(self, file: int, function: int) -> Function:
        """Return a function."""
        return self.of(file).functions[function] if function >= 0 else self._without[~function]

    def without(self, file: int, function: int, off: frozenset[tuple[int, int]]) -> int:
        """Return a function of its own for calls that switch off what depends on these guards."""
        key = (file, function, off)
        if key not in self._variants:
            one = self.function(file, function)
            self._variants[key] = ~len(self._without)
            events = tuple(event for event in one.events if event.guard not in off)
            self._without.append(one._replace(events=events))
        return self._variants[key]

    def cls(self, file: int, cls: int) -> Class:
        """Return a class."""
        return self.of(file).classes[cls]

    def imported(self, file: int, dotted: str) -> Type:
        """Return what `import a.b` means in a file."""
        found = self.modules.absolute(file, dotted)
        return ("M", found) if self.has(found) else ("X", dotted)

    def imported_from(self, file: int, level: int, module: str, name: str) -> Types:
        """Return what `from a.b import name` means in a file."""
        package = self.modules.find(file, level, module)
        submodule = self.modules.find(file, level, f"{module}.{name}" if module else name)
        of_itself = package == file and submodule is not None
        if (
            self.has(package)
            and not of_itself
            and (name in self.of(package).bindings or submodule is None)
        ):
            return self.name(package, name, outside=True)
        if self.has(submodule):
            return (("M", submodule),)
        if package is None and not level:
            return (("X", f"{module}.{name}"),)
        return ()

    def name(self, file: int, name: str, *, outside: bool = False, depth: int = 0) -> Types:
        """Return what a module-level name of a file is; `outside` leaves the built-ins out."""
        facts = self.of(file)
        values = facts.bindings.get(name)
        if values is not None:
            return joined(self.evaluate(file, value) for value in values[:FINITE])
        for level, module in facts.stars if depth < 4 else ():  # chains of re-exports
            source = self.modules.find(file, level, module)
            if self.has(source):
                starred = self.name(source, name, outside=True, depth=depth + 1)
                if starred:
                    return starred
            elif source is None and self.catalogue.function(f"{module}.{name}"):
                return (("X", f"{module}.{name}"),)
        if not outside and name in _BUILTINS:
            return (("X", f"builtins.{name}"),)
        return ()

    def ancestors(self, file: int, cls: int) -> Types:
        """Return a class and all it inherits from, nearest first; outside classes as ("X", path)."""
        key = (file, cls)
        if key not in self._ancestors:
            own: Types = (("C", file, cls),)
            self._ancestors[key] = own  # a cycle ends here
            inherited = [
                self.ancestors(one[1], one[2]) if one[0] == "C" else (one,)
                for base in self.cls(file, cls).bases
                for one in self.evaluate(file, unsubscripted(base))
                if one[0] in ("C", "X")
            ]
            self._ancestors[key] = joined([own, *inherited])
        return self._ancestors[key]

    def member(self, file: int, cls: int, name: str, *, above: bool = False) -> Member | None:
        """Return what a class calls `name`; `above` starts behind the class itself."""
        line = self.ancestors(file, cls)
        for one in line[1:] if above else line:
            if one[0] != "C":
                continue
            owner = self.cls(one[1], one[2])
            if name in owner.methods:
                return ("method", one[1], one[2], owner.methods[name])
            if owner.attributes.get(name):
                return ("attribute", one[1], one[2], owner.attributes[name])
        return None

    def method(self, file: int, cls: int, name: str) -> tuple[int, int] | None:
        """Return the method of that name of a class."""
        found = self.member(file, cls, name)
        return (found[1], found[3]) if found is not None and found[0] == "method" else None

    def outside(self, file: int, cls: int) -> tuple[str, ...]:
        """Return the paths of the outside classes that a class inherits from."""
        return tuple(one[1] for one in self.ancestors(file, cls) if one[0] == "X")

    def any_protocol(self, types: Types) -> bool:
        """Return whether one of these is an instance of a protocol, which others implement unsaid."""
        return any(
            one[0] == "I" and not _PROTOCOLS.isdisjoint(self.outside(one[1], one[2]))
            for one in types
        )

    def children(self, file: int, cls: int) -> list[tuple[int, int]]:
        """Return the classes that inherit from this one, at any distance."""
        key = (file, cls)
        if key not in self._children:
            found = self._children[key] = []
            for one in self._inherits.get(self.cls(file, cls).name, ()):
                if one != key and ("C", *key) in self.ancestors(*one)[1:]:
                    found.append(one)
                    found += [more for more in self.children(*one) if more not in found]
        return self._children[key]
