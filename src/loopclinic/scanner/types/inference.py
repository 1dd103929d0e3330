"""Infers types of values across files, on demand and once each."""

from collections.abc import Callable, Mapping
from typing import Any

from loopclinic.scanner.facts.values import Value
from loopclinic.scanner.functions import Functions
from loopclinic.scanner.project import Project, Type, Types, instance_of, joined
from loopclinic.scanner.types.annotations import Annotations
from loopclinic.scanner.types.attributes import Attributes
from loopclinic.scanner.types.awaitables import Awaitables
from loopclinic.scanner.types.calls import Calls
from loopclinic.scanner.types.returned_types import ReturnedTypes

_DEEP = 60
"""Values nested deeper than this stay unknown."""


class Inference:
    """Evaluates the values of a project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._catalogue = project.catalogue
        project.evaluate = self.evaluate
        self.functions = Functions(project)
        self._annotations = Annotations(project)
        returns = ReturnedTypes(project, self.functions, self._annotations)
        awaitables = Awaitables(project, self.functions, returns)
        attributes = Attributes(project, self.functions, returns)
        calls = Calls(project, self._annotations, returns, awaitables)
        self.returned = returns.returned
        self.gives_coroutine = awaitables.gives_coroutine
        self.awaitable = awaitables.awaitable
        self._known: dict[tuple[int, int], Types] = {}
        self._depth = 0
        self._tags: Mapping[str, Callable[[int, Any], Types]] = {
            "g": lambda file, value: self.project.name(file, value[1]),
            "im": lambda file, value: (self.project.imported(file, value[1]),),
            "if": lambda file, value: self.project.imported_from(file, *value[1:]),
            "fn": lambda file, value: (("F", file, value[1]),),
            "cl": lambda file, value: (("C", file, value[1]),),
            "self": lambda file, value: (("I", file, value[1]),),
            "cls": lambda file, value: (("C", file, value[1]),),
            "super": lambda file, value: (("super", file, value[1]),),
            "a": attributes.result,
            "c": calls.result,
            "w": self._each(awaitables.awaited),
            "e": self._each(awaitables.entered),
            "E": self._each(awaitables.entered_async),
            "i": self._each(self._element),
            "I": self._each(self._element),
            "s": self._each(self._item),
            "n": self._nth,
            "u": lambda file, value: self.project.evaluate_all(file, value[1]),
            "t": lambda file, value: self._annotations.instance(file, value[1]),
            "p": self._parameter,
            "an": lambda file, value: self.evaluate(file, value[1]),
            "tu": lambda file, value: (("T", tuple(self.evaluate(file, one) for one in value[1])),),
            "ls": lambda file, value: (("R", self.project.evaluate_all(file, value[1])),),
            "di": lambda file, value: (("D", self.project.evaluate_all(file, value[1])),),
            "d": self._each(self._divided),
            "k": lambda _, value: instance_of(f"builtins.{value[1]}"),
            "v": lambda *_: (),
            "lit": lambda *_: (),
            "is": self._narrowed,
            "not": self._narrowed,
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

    def _each(self, step: Callable[[Type], Types]) -> Callable[[int, Any], Types]:
        """Return what evaluates a value of one part: its types, each taken one step further."""
        return lambda file, value: joined(map(step, self.evaluate(file, value[1])))

    def _element(self, one: Type) -> Types:
        if one[0] == "R":
            return one[1]  # type: ignore[no-any-return]
        if one[0] == "T":
            return joined(one[1])
        return (one[2],) if one[0] == "O" and isinstance(one[2], tuple) else ()

    def _item(self, one: Type) -> Types:
        if one[0] in ("R", "D"):
            return one[1]  # type: ignore[no-any-return]
        if one[0] == "O":
            subscript = self._catalogue.cls(one[1]).subscript
            slice_of_rows = isinstance(one[2], tuple)
            return instance_of(subscript) or ((one,) if slice_of_rows else ())
        return (one,) if one[0] in ("X", "C") else ()  # a generic class with its arguments

    def _divided(self, one: Type) -> Types:
        return instance_of(self._catalogue.cls(one[1]).divided) if one[0] == "O" else ()

    def _nth(self, file: int, value: Any) -> Types:
        found: list[Types] = []
        for one in self.evaluate(file, value[1]):
            if one[0] == "T":
                found += one[1][value[2] : value[2] + 1]
            elif one[0] == "R":
                found.append(one[1])
            elif one[0] == "O":
                found += map(
                    instance_of, self._catalogue.cls(one[1]).parts[value[2] : value[2] + 1]
                )
        return joined(found)

    def _parameter(self, file: int, value: Any) -> Types:
        _, index, position = value
        parameters = self.project.function(file, index).parameters
        if position >= len(parameters):
            return ()
        _, annotation, default = parameters[position]
        found = self._annotations.instance(file, annotation)
        if annotation is None:
            return self.evaluate(file, default) or self.functions.passed(file, index, position)
        if any(one[0] == "O" and one[1].startswith("typing.") for one in found):
            found = ()  # an IO[bytes] may as well be in memory
        elif found and not self.project.any_protocol(found):
            return found
        return found + self.functions.passed(file, index, position)

    def _narrowed(self, file: int, value: Any) -> Types:
        found = self.evaluate(file, value[1])
        wanted = () if value[2] is None else self._annotations.instance(file, value[2])
        if not wanted and value[2] is not None:
            return found  # it is tested for something that is not known
        kept = [self._is_one(one, wanted) for one in found]
        if value[0] == "not":
            return tuple(one for one, is_it in zip(found, kept, strict=True) if not is_it)
        return tuple(one for one, is_it in zip(found, kept, strict=True) if is_it) or wanted

    def _is_one(self, one: Type, wanted: Types) -> bool:
        """Return whether a type is one of these or inherits from one; without any, whether a coroutine."""
        if not wanted:
            return one[0] == "K" or self.gives_coroutine(one)
        if one in wanted or one[0] != "I":
            return one in wanted
        above = self.project.ancestors(one[1], one[2])
        return any(("C", *more[1:]) in above or ("X", more[1]) in above for more in wanted)
