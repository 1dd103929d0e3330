"""What a value may be: evaluates values to types across files, on demand and once each."""

from collections.abc import Callable, Mapping
from typing import Any

from loopclinic.scanner.callers import Callers
from loopclinic.scanner.calls import Calls
from loopclinic.scanner.decorators import Decorators
from loopclinic.scanner.facts.values import FINITE, Value
from loopclinic.scanner.project import Project, Type, Types

__all__ = ["Inference"]

_DEEP = 60
"""Values nested deeper than this stay unknown."""


class Inference(Calls):
    """Evaluates values of a project."""

    _tags: Mapping[str, Callable[[int, Any], Types]]

    def __init__(self, project: Project) -> None:
        self.project = project
        self.catalogue = project.catalogue
        project.evaluate = self.evaluate
        self._known: dict[tuple[int, int], Types] = {}
        self._instances = {}
        self.decorators = Decorators(project, self.evaluate)
        self.callers = Callers(project, self.evaluate)
        self._depth = 0
        self._tags = {
            "g": lambda file, value: self.project.name(file, value[1]),
            "im": lambda file, value: (self.project.imported(file, value[1]),),
            "if": lambda file, value: self.project.imported_from(file, *value[1:]),
            "fn": lambda file, value: (("F", file, value[1]),),
            "cl": lambda file, value: (("C", file, value[1]),),
            "self": lambda file, value: (("I", file, value[1]),),
            "cls": lambda file, value: (("C", file, value[1]),),
            "super": lambda file, value: (("super", file, value[1]),),
            "a": self._attribute,
            "c": self._result,
            "w": self._awaited,
            "e": self._entered,
            "E": self._entered_async,
            "i": self._element,
            "I": self._element,
            "s": self._item,
            "n": self._nth,
            "u": self._union,
            "t": lambda file, value: self.instance(file, value[1]),
            "p": self._parameter,
            "an": lambda file, value: self.evaluate(file, value[1]),
            "tu": lambda file, value: (("T", tuple(self.evaluate(file, one) for one in value[1])),),
            "ls": lambda file, value: (("R", self._all(file, value[1])),),
            "di": lambda file, value: (("D", self._all(file, value[1])),),
            "d": self._divided,
            "k": lambda _, value: (("O", f"builtins.{value[1]}", False),),
        }

    def evaluate(self, file: int, value: Value) -> Types:
        """Return what a value of a file may be; empty if that is not known."""
        if value is None or self._depth > _DEEP:
            return ()
        key = (file, id(value))
        known = self._known.get(key)
        if known is not None:
            return known
        self._known[key] = ()  # a value defined by itself ends here
        self._depth += 1
        try:
            found = self._tags[value[0]](file, value)
        finally:
            self._depth -= 1
        self._known[key] = found
        return found

    def _all(self, file: int, values: tuple[Value, ...]) -> Types:
        found: list[Type] = []
        for value in values:
            found += [one for one in self.evaluate(file, value) if one not in found]
        return tuple(found[: 2 * FINITE])

    def _union(self, file: int, value: Any) -> Types:
        return self._all(file, value[1])

    def _attribute(self, file: int, value: Any) -> Types:
        found: list[Type] = []
        for base in self.evaluate(file, value[1]):
            found += [one for one in self.attribute(file, base, value[2]) if one not in found]
        return tuple(found[: 2 * FINITE])

    def attribute(self, file: int, base: Type, name: str) -> Types:
        """Return what `.name` of a type is."""
        tag = base[0]
        if tag == "M":
            found = self.project.name(base[1], name, outside=True)
            if found:
                return found
            parts = (*self.project.modules.parts[base[1]], name)
            one = self.project.modules.exact(parts)
            return (("M", one),) if self.project.has(one) else ()
        if tag == "X":
            path = f"{base[1]}.{name}"
            submodule = self.project.modules.absolute(file, path)
            if self.project.has(submodule):
                return (("M", submodule),)
            return (("X", path),)
        if tag == "O":
            return self._outside(base, name)
        if tag == "Z":
            return (("Z", base[1], (*base[2], name)),)
        if tag in ("I", "C", "super"):
            return self.member_of(base, name)
        if tag == "D":
            if name in ("get", "pop", "setdefault"):
                return (("V", base[1]),)
            if name == "values":
                return (("V", (("R", base[1]),)),)
            if name == "items":
                return (("V", (("R", (("T", ((), base[1])),)),)),)
        elif tag == "R" and name in ("pop", "popleft", "get"):
            return (("V", base[1]),)
        elif tag == "P" and name == "func":
            return base[1]  # type: ignore[no-any-return]
        return ()

    def _outside(self, base: Type, name: str) -> Types:
        entry = self.catalogue.classes.get(base[1])
        if entry is None:
            return (("OM", base[1], name, base[2]),)
        if name in entry.attributes:
            return (("O", entry.attributes[name], False),)
        if entry.deep and name not in entry.deep_async_names and name not in entry.unless:
            return (("Z", base[1], (name,)),)
        if entry.any_attribute and entry.leaf(name) is None and name not in entry.returns:
            return (("O", entry.any_attribute, False),)
        return (("OM", base[1], name, base[2]),)

    def member_of(self, base: Type, name: str) -> Types:
        """Return what `.name` is on an instance, a class or super() of the project."""
        tag, file, cls = base[:3]
        member = self.project.member(file, cls, name, above=tag == "super")
        if member is None and tag == "I":
            for child in self.project.children(file, cls):
                member = self.project.member(*child, name)
                if member is not None:
                    break
        if member is None:
            for path in self.project.outside(file, cls):
                entry = self.catalogue.classes.get(path)
                if entry is not None and name in entry.attributes:
                    # A manager of rows: what it gives is of this class.
                    return (("O", entry.attributes[name], ("I", file, cls)),)
                if entry is not None:
                    outside = ("O", path, False) if tag != "C" else ("X", path)
                    return self.attribute(file, outside, name)
            return ()
        how, where, _, found = member
        if how == "attribute":
            types = self._all(where, tuple(found[:FINITE]))
            if self.project.any_protocol(types):
                types += self.callers.field(file, cls, name)
            return types
        function = self.project.function(where, found)
        if function.is_property:
            return self.returned(where, found)
        if "static" in function.traits or (tag == "C" and "class" not in function.traits):
            return (("F", where, found),)
        return (("B", where, found, file, cls),)

    def _awaited(self, file: int, value: Any) -> Types:
        found: list[Type] = []
        for one in self.evaluate(file, value[1]):
            if one[0] == "K" or one[0] == "A":
                found += one[1]
            elif one[0] == "O" and one[1] not in ("asyncio.Task", "asyncio.Future"):
                found.append(one)
        return tuple(found)

    def _entered(self, file: int, value: Any) -> Types:
        found: list[Type] = []
        for one in self.evaluate(file, value[1]):
            if one[0] == "S":
                found += one[1]
            elif one[0] == "O":
                entry = self.catalogue.classes.get(one[1])
                if entry is not None:
                    found.append(("O", entry.enters or one[1], False))
            elif one[0] == "I":
                found += self._entering(one, "__enter__")
        return tuple(found)

    def _entered_async(self, file: int, value: Any) -> Types:
        found: list[Type] = []
        for one in self.evaluate(file, value[1]):
            if one[0] in ("A", "K"):
                found += one[1]
            elif one[0] == "O":
                entry = self.catalogue.classes.get(one[1])
                if entry is not None and entry.async_enters:
                    found.append(("O", entry.async_enters, False))
            elif one[0] == "I":
                found += self._entering(one, "__aenter__")
        return tuple(found)

    def _entering(self, one: Type, name: str) -> Types:
        method = self.project.method(one[1], one[2], name)
        return (self.returned(*method) if method is not None else ()) or (one,)

    def _element(self, file: int, value: Any) -> Types:
        found: list[Type] = []
        for one in self.evaluate(file, value[1]):
            if one[0] == "R":
                found += one[1]
            elif one[0] == "T":
                for part in one[1]:
                    found += part
            elif one[0] == "O" and isinstance(one[2], tuple):
                found.append(one[2])
        return tuple(found)

    def _item(self, file: int, value: Any) -> Types:
        found: list[Type] = []
        for one in self.evaluate(file, value[1]):
            if one[0] in ("R", "D"):
                found += one[1]
            elif one[0] == "O":
                entry = self.catalogue.classes.get(one[1])
                if entry is not None and entry.subscript:
                    found.append(("O", entry.subscript, False))
                elif isinstance(one[2], tuple):  # a slice of rows
                    found.append(one)
            elif one[0] == "X" or one[0] == "C":  # a generic class with its arguments
                found.append(one)
        return tuple(found)

    def _nth(self, file: int, value: Any) -> Types:
        found: list[Type] = []
        for one in self.evaluate(file, value[1]):
            if one[0] == "T" and value[2] < len(one[1]):
                found += one[1][value[2]]
            elif one[0] == "R":
                found += one[1]
            elif one[0] == "O":
                entry = self.catalogue.classes.get(one[1])
                if entry is not None and value[2] < len(entry.parts):
                    found.append(("O", entry.parts[value[2]], False))
        return tuple(found)

    def _divided(self, file: int, value: Any) -> Types:
        for one in self.evaluate(file, value[1]):
            entry = self.catalogue.classes.get(one[1]) if one[0] == "O" else None
            if entry is not None and entry.divided:
                return (("O", entry.divided, False),)
        return ()

    def _parameter(self, file: int, value: Any) -> Types:
        function = self.project.function(file, value[1])
        if value[2] >= len(function.parameters):
            return ()
        parameter = function.parameters[value[2]]
        if parameter.annotation is not None:
            found = self.instance(file, parameter.annotation)
            if found and not self.project.any_protocol(found):
                return found
            return found + self.callers.passed(file, value[1], value[2])
        return self.evaluate(file, parameter.default) or self.callers.passed(
            file, value[1], value[2]
        )
