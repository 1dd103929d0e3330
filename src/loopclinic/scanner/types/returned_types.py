"""Types that functions of the project return: from annotations, returns, yields, decorators, overloads."""

from dataclasses import dataclass
from typing import Any

from loopclinic.scanner.facts.fact_records import Function, Parameter
from loopclinic.scanner.functions import Functions
from loopclinic.scanner.project import Project, Type, Types, inside
from loopclinic.scanner.types.annotations import Annotations


@dataclass(frozen=True, slots=True)
class ReturnedTypes:
    """Evaluates what calling a function gives."""

    project: Project
    functions: Functions
    annotations: Annotations

    def returned(self, file: int, function: int, callee: Type | None = None) -> Types:
        """Return what calling a function of the project gives."""
        one = self.project.function(file, function)
        if self.functions.offload(file, one):
            return (("K", ()),)
        plain = self._plainly_returned(file, one, callee)
        names = one.decorator_names
        if "contextmanager" in names:
            return (("S", inside(plain, "R")),)
        if "asynccontextmanager" in names:
            return (("A", inside(plain, "R")),)
        wrapper = None if one.is_async else self.functions.wrapper(file, one)
        if wrapper is not None and self.project.function(*wrapper).is_async:
            return (("K", plain),)
        return plain

    def _plainly_returned(self, file: int, one: Function, callee: Type | None) -> Types:
        declared = self.annotations.instance(file, one.annotation)
        if "generator" in one.traits:
            if declared and declared[0][0] == "R":
                return declared
            return (("R", self.project.evaluate_all(file, one.yields)),)
        found = declared
        if not any(one[0] != "O" or one[1] in self.project.catalogue.classes for one in declared):
            found = self.project.evaluate_all(file, one.returns) or declared
        if callee is not None and callee[0] == "B" and one.returns:
            # `return self` and `return cls()` in a base class give what it was called on.
            value = one.returns[0]
            made = value[1] if value is not None and value[0] == "c" else value
            if made is not None and made[0] == ("self" if made is value else "cls"):
                found = (("I", callee[3], callee[4]),)
        return (("K", found),) if one.is_async else found

    def overloaded(self, callee: Type, value: Any) -> Types:
        """Return what the overload gives that the constants of a call choose; empty if none does."""
        file = callee[1]
        for index in self.functions.overloads(file, callee[2]):
            one = self.project.function(file, index)
            chosen = [
                _fits(value, position - (callee[0] == "B"), parameter)
                for position, parameter in enumerate(one.parameters)
                if parameter.annotation is not None and parameter.annotation[0] == "lit"
            ]
            if chosen and all(chosen):
                found = self.annotations.instance(file, one.annotation)
                return (("K", found),) if one.is_async else found
        return ()


def _fits(value: Any, position: int, parameter: Parameter) -> bool:
    """Return whether a call gives, or leaves to its default, one of a parameter's literals."""
    given = [one for at, one in value[3] if at in (position, parameter.name)]
    if not given and parameter.default is not None and parameter.default[0] == "v":
        if any(at in (position, parameter.name) for at, _ in value[2]):
            return False
        given = [parameter.default[1]]
    return any(one is literal for one in given for literal in parameter.annotation[1])  # type: ignore[index]
