"""The facts of all files together: module-level names, classes and their bases, members."""

import builtins
from typing import Any, TypeGuard

from loopclinic.scanner.catalogue import Catalogue
from loopclinic.scanner.facts.record import Class, Event, Facts, Function
from loopclinic.scanner.facts.values import tail
from loopclinic.scanner.modules import Modules
from loopclinic.scanner.store import Store

__all__ = ["Member", "Project", "Type", "Types"]

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

Member = tuple[str, int, int, Any]
"""("method", file, class, function) or ("attribute", file, class, values)."""

_PROTOCOLS = frozenset({"typing.Protocol", "typing_extensions.Protocol"})
_BUILTINS = frozenset(dir(builtins))


class Project:
    """Files by position; facts are read when they are first asked for."""

    def __init__(self, store: Store, modules: Modules, catalogue: Catalogue) -> None:
        self.store = store
        self.modules = modules
        self.catalogue = catalogue
        self._ancestors: dict[tuple[int, int], tuple[Types, bool]] = {}
        self._children: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._calls: dict[str, list[tuple[int, Event]]] | None = None
        self.evaluate: Any = None
        """Set by the types: (file, value) -> Types."""

    def calls(self, name: str) -> list[tuple[int, Event]]:
        """Return the calls, with arguments, of anything of that name, in files that are in use."""
        if self._calls is None:
            self._calls = {}
            for file in self.store.in_use():
                for function in self.of(file).functions:
                    for event in function.events:
                        if event.op == "call" and event.args:
                            called = tail(event.value)
                            self._calls.setdefault(called, []).append((file, event))
        return self._calls.get(name, [])

    def of(self, file: int) -> Facts:
        """Return the facts of a file that was read."""
        return self.store.facts(file)

    def has(self, file: int | None) -> TypeGuard[int]:
        """Whether this is a file that was read."""
        return file is not None and self.store.has(file)

    def function(self, file: int, function: int) -> Function:
        """Return a function."""
        return self.of(file).functions[function]

    def cls(self, file: int, cls: int) -> Class:
        """Return a class."""
        return self.of(file).classes[cls]

    def imported(self, file: int, dotted: str) -> Type:
        """Return what `import a.b` means in a file."""
        found = self.modules.absolute(file, dotted)
        if self.has(found):
            return ("M", found)
        return ("X", dotted)

    def imported_from(self, file: int, level: int, module: str, name: str) -> Types:
        """Return what `from a.b import name` means in a file."""
        if level:
            package = self.modules.relative(file, level, module)
            dotted = f"{module}.{name}" if module else name
            submodule = self.modules.relative(file, level, dotted)
        else:
            package = self.modules.absolute(file, module)
            submodule = self.modules.absolute(file, f"{module}.{name}")
        if self.has(package) and (name in self.of(package).bindings or submodule is None):
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
            found: list[Type] = []
            for value in values[:4]:
                found += [one for one in self.evaluate(file, value) if one not in found]
            return tuple(found)
        for level, module in facts.stars if depth < 4 else ():  # noqa: PLR2004 - chains of re-exports
            source = (
                self.modules.relative(file, level, module)
                if level
                else self.modules.absolute(file, module)
            )
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
        known = self._ancestors.get(key)
        if known is not None:
            return known[0]
        self._ancestors[key] = ((("C", file, cls),), False)  # a cycle ends here
        found: list[Type] = [("C", file, cls)]
        for base in self.cls(file, cls).bases:
            if base is None:
                continue
            inner = base[1] if base[0] == "an" else base
            for one in self.evaluate(file, inner):
                if one[0] == "C":
                    found += [more for more in self.ancestors(one[1], one[2]) if more not in found]
                elif one[0] == "X" and one not in found:
                    found.append(one)
        self._ancestors[key] = (tuple(found), True)
        return tuple(found)

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
        """Whether one of these is an instance of a protocol, which others implement unsaid."""
        return any(
            one[0] == "I" and not _PROTOCOLS.isdisjoint(self.outside(one[1], one[2]))
            for one in types
        )

    def children(self, file: int, cls: int) -> list[tuple[int, int]]:
        """Return the classes that inherit from this one, at any distance."""
        key = (file, cls)
        if key not in self._children:
            self._children[key] = []
            name = self.cls(file, cls).name
            for number, index in self.store.inheritors(name):
                own = ("C", number, index)
                line = self.ancestors(number, index)
                if ("C", file, cls) in line[1:] and own != ("C", file, cls):
                    self._children[key].append((number, index))
                    for more in self.children(number, index):
                        if more not in self._children[key]:
                            self._children[key].append(more)
        return self._children[key]
