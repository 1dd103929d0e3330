"""What an event leads to: a blocking leaf, or the code of a function that it runs."""

from typing import NamedTuple

from loopclinic.scanner.catalogue import Leaf
from loopclinic.scanner.facts.record import AWAITED, Event, Function
from loopclinic.scanner.parameters import ASKING, CALLBACKS, CALLING, ON_LOOP, CalledParameters
from loopclinic.scanner.project import Project, Type
from loopclinic.scanner.types import Inference

__all__ = ["Outcome", "Outcomes"]


_ENTERING = ("__enter__", "__exit__")
_ITERATING = ("__iter__", "__next__")


class Outcome(NamedTuple):
    """A leaf, or a function to go on with."""

    leaf: Leaf | None
    file: int = -1
    function: int = -1
    confidence: str = "certain"
    through: tuple[int, int] | None = None
    """The function that calls what it is handed."""


class Outcomes:
    """Answers what events of a project lead to."""

    def __init__(self, project: Project, types: Inference) -> None:
        self.project = project
        self.types = types
        self.catalogue = project.catalogue
        self.unresolved = 0
        self.called_parameters = CalledParameters(project, types.evaluate)

    def of(self, file: int, event: Event) -> list[Outcome]:
        """Return what one event leads to; empty if nothing that is known to block."""
        if event.op == "call":
            return self._call(file, event)
        if event.op == "with":
            return self._special_calls(file, event, _ENTERING)
        if event.op == "iter":
            return self._special_calls(file, event, _ITERATING)
        if event.op == "attr":
            return self._attribute(file, event)
        return []

    def _call(self, file: int, event: Event) -> list[Outcome]:
        found: list[Outcome] = []
        types = self.types.evaluate(file, event.value)
        if not types:
            self.unresolved += 1
        for one in types:
            found += self._target(file, one, event)
        return found

    def _target(self, file: int, one: Type, event: Event | None) -> list[Outcome]:
        """Return what calling a type leads to; without an event, the arguments are not known."""
        tag = one[0]
        awaited = event is not None and bool(event.flags & AWAITED)
        if tag == "X":
            return self._outside(file, one[1], event, awaited=awaited)
        if tag == "OM":
            return self._method(file, one, event, awaited=awaited)
        if tag == "Z":
            leaf = None if awaited else self._deep(one)
            return [Outcome(leaf)] if leaf is not None else []
        if tag in ("F", "B"):
            return self._function(file, one, event, awaited=awaited)
        if tag == "C":
            return self._constructor(file, one, event)
        if tag == "I":
            method = self.project.method(one[1], one[2], "__call__")
            if method is not None:
                bound = ("B", *method, one[1], one[2])
                return self._function(file, bound, event, awaited=awaited)
        if tag == "P":
            return [more for inner in one[1] for more in self._target(file, inner, None)]
        return []

    def _outside(
        self, file: int, path: str, event: Event | None, *, awaited: bool
    ) -> list[Outcome]:
        found: list[Outcome] = []
        leaf = self.catalogue.function(path)
        if leaf is not None and not awaited:
            found.append(Outcome(leaf))
        entry = self.catalogue.classes.get(path)
        if entry is not None and not awaited:
            making = entry.leaf("__init__") if "__init__" in entry.blocks else None
            if making is not None:
                found.append(Outcome(Leaf(making.kind, path, making.confidence, making.source)))
        if event is not None and path in ASKING:
            for at, value in event.args:
                for asked in self.types.evaluate(file, value) if at == 0 else ():
                    if asked[0] == "I":
                        found += self._special(asked, (ASKING[path],))
        if event is not None and path in CALLING:
            for key in CALLING[path]:
                found += self._handed(file, event, key)
        return found

    def _handed(
        self, file: int, event: Event, key: int | str, through: tuple[int, int] | None = None
    ) -> list[Outcome]:
        for at, value in event.args:
            if at == key:
                types = self.types.evaluate(file, value)
                found = [more for one in types for more in self._target(file, one, None)]
                return [one._replace(through=through) for one in found]
        return []

    def _method(self, file: int, one: Type, event: Event | None, *, awaited: bool) -> list[Outcome]:
        path, name = one[1], one[2]
        if event is not None:
            if name in CALLBACKS and path in ON_LOOP:
                return self._handed(file, event, CALLBACKS[name])
            if name == "enter_context" and event.args:
                return self._special_calls(file, event._replace(value=event.args[0][1]), _ENTERING)
        entry = self.catalogue.classes.get(path)
        if entry is None or awaited:
            return []
        leaf = entry.leaf(name)
        if leaf is None or (name in entry.bounded and not one[3]):
            return []
        if event is not None and _at_once(event):
            return []
        return [Outcome(leaf)]

    def _deep(self, one: Type) -> Leaf | None:
        entry = self.catalogue.classes[one[1]]
        name = one[2][-1]
        if name in entry.unless or name.startswith("with_") or one[2][0] in entry.deep_async_names:
            return None
        if entry.deep_methods and name not in entry.deep_methods:
            return None
        return Leaf(entry.kind, f"{entry.path}.{'.'.join(one[2])}", entry.confidence, entry.source)

    def _function(
        self, file: int, one: Type, event: Event | None, *, awaited: bool
    ) -> list[Outcome]:
        where, index = one[1], one[2]
        function = self.project.function(where, index)
        decorators = self.types.decorators
        found: list[Outcome] = []
        if event is not None:
            shift = 1 if one[0] == "B" else 0
            found += self._parameters_called(file, where, index, event, shift)
        if decorators.offload(where, function):
            return found
        wrapper = decorators.wrapper(where, function)
        body = True
        if wrapper is not None:
            made = self.project.function(*wrapper)
            if not made.is_async:
                found.append(Outcome(None, *wrapper))
            body = not made.is_async and decorators.calls_wrapped(made)
        elif awaited and decorators.any_unknown(where, function):
            body = False
        if not body or function.is_async or "generator" in function.traits:
            return found
        if "stub" in function.traits and one[0] == "B":
            return found + self._overridden(function, one)
        sure = "hint" if decorators.keeps_result(where, function) else "certain"
        found.append(Outcome(None, where, index, sure))
        return found

    def _overridden(self, function: Function, one: Type) -> list[Outcome]:
        found = []
        for where, cls in self.project.children(one[3], one[4]):
            index = self.project.cls(where, cls).methods.get(function.name)
            if index is not None and not self.project.function(where, index).is_async:
                found.append(Outcome(None, where, index, "likely"))
        return found

    def _constructor(self, file: int, one: Type, event: Event | None) -> list[Outcome]:
        found = []
        for name in ("__init__", "__post_init__", "__new__"):
            method = self.project.method(one[1], one[2], name)
            if method is not None:
                found.append(Outcome(None, *method))
                if event is not None and name == "__init__":
                    found += self._parameters_called(file, *method, event, 1)
        return found

    def _parameters_called(
        self, file: int, where: int, index: int, event: Event, shift: int
    ) -> list[Outcome]:
        found: list[Outcome] = []
        called = self.called_parameters.of(where, index)
        if not called:
            return found
        parameters = self.project.function(where, index).parameters
        for position in called:
            for key in (position - shift, parameters[position].name):
                found += self._handed(file, event, key, (where, index))
        return found

    def _special_calls(self, file: int, event: Event, names: tuple[str, ...]) -> list[Outcome]:
        """Return what entering or iterating leads to, by the special methods that it calls."""
        value = event.value
        found: list[Outcome] = []
        if value is None:
            return found
        if value[0] == "c":
            for one in self.types.evaluate(file, value[1]):
                found += self._generator(one)
                if one[0] == "OM" and names is _ENTERING:
                    entry = self.catalogue.classes.get(one[1])
                    if entry is not None and one[2] in entry.blocking_with:
                        name = f"{entry.path}.{one[2]}"
                        found.append(Outcome(Leaf(entry.kind, name, "certain", entry.source)))
        for one in self.types.evaluate(file, value):
            found += self._special(one, names)
        return found

    def _generator(self, one: Type) -> list[Outcome]:
        """Return the body of a sync generator function, which runs when its result is entered."""
        if one[0] not in ("F", "B"):
            return []
        function = self.project.function(one[1], one[2])
        if "generator" not in function.traits or function.is_async:
            return []
        return [Outcome(None, one[1], one[2])]

    def _special(self, one: Type, names: tuple[str, ...]) -> list[Outcome]:
        if one[0] == "O":
            entry = self.catalogue.classes.get(one[1])
            leaf = entry.leaf(names[0]) if entry is not None else None
            return [Outcome(leaf)] if leaf is not None else []
        if one[0] == "X":
            leaf = self.catalogue.function(f"{one[1]}.{names[0]}")
            return [Outcome(leaf)] if leaf is not None else []
        found = []
        if one[0] == "I":
            for name in names:
                method = self.project.method(one[1], one[2], name)
                if method is not None:
                    found.append(Outcome(None, *method))
        return found

    def _attribute(self, file: int, event: Event) -> list[Outcome]:
        value = event.value
        assert value is not None
        found = []
        for one in self.types.evaluate(file, value[1]):
            if one[0] == "I":
                method = self.project.method(one[1], one[2], value[2])
                if method is not None:
                    function = self.project.function(*method)
                    if function.is_property and not function.is_async:
                        found.append(Outcome(None, *method))
        return found


def _at_once(event: Event) -> bool:
    """Whether the call says that it doesn't wait: `acquire(False)`, `get(block=False)`."""
    for at, value in event.consts:
        if at in ("block", "blocking", "wait") and value is False:
            return True
        if at == 0 and value is False:
            return True
        if at == "timeout" and value == 0 and value is not False:
            return True
    return False
