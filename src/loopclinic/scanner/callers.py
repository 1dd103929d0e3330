"""What the project's own callers pass: for parameters that say nothing, or name a protocol only."""

from collections.abc import Callable

from loopclinic.scanner.facts.values import FINITE, Value
from loopclinic.scanner.project import Project, Type, Types

__all__ = ["Callers"]

_FOLLOWED = frozenset("OIZRDT")
"""A function that is handed over is looked at where it is handed over."""


class Callers:
    """Answers by the function or the class that is called."""

    def __init__(self, project: Project, evaluate: Callable[[int, Value], Types]) -> None:
        self._project = project
        self._evaluate = evaluate

    def passed(self, file: int, function: int, position: int) -> Types:
        """Return what is passed for a parameter."""
        one = self._project.function(file, function)
        shift = 1 if "method" in one.traits and "static" not in one.traits else 0
        name = one.name
        if name == "__init__" and one.owner is not None:
            name = self._project.cls(file, one.owner).name
        if position < shift or not name or "lambda" in one.traits:
            return ()
        places = (position - shift, one.parameters[position].name)
        return self._found(name, places, lambda found: self._calls(found, (file, function)))

    def field(self, file: int, cls: int, name: str) -> Types:
        """Return what is passed for a field of a class whose `__init__` is made from its fields."""
        if self._project.method(file, cls, "__init__") is not None:
            return ()
        owner = self._project.cls(file, cls)
        fields = list(owner.attributes)
        places = (fields.index(name), name) if name in fields else (name,)
        return self._found(owner.name, places, lambda found: found == ("C", file, cls))

    def _found(
        self, name: str, places: tuple[int | str, ...], is_it: Callable[[Type], bool]
    ) -> Types:
        found: list[Type] = []
        for where, event in self._project.calls(name):
            values = [value for at, value in event.args if at in places]
            if values and any(is_it(one) for one in self._evaluate(where, event.value)):
                found += [
                    more
                    for more in self._evaluate(where, values[0])
                    if more not in found and more[0] in _FOLLOWED
                ]
        return tuple(found[:FINITE])

    def _calls(self, callee: Type, function: tuple[int, int]) -> bool:
        if callee[0] in ("F", "B"):
            return callee[1:3] == function
        return (
            callee[0] == "C" and self._project.method(callee[1], callee[2], "__init__") == function
        )
