"""Types that calls give: of functions, classes and methods, inside the project and outside it."""

from dataclasses import dataclass
from typing import Any

from loopclinic.scanner.facts.values import FINITE, Value, tail
from loopclinic.scanner.functions import OFFLOADING
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import Project, Type, Types, inside, instance_of, joined
from loopclinic.scanner.types.annotations import Annotations
from loopclinic.scanner.types.awaitables import Awaitables
from loopclinic.scanner.types.returned_types import ReturnedTypes

_SAME = words(
    "cast copy deepcopy closing aclosing shield wait_for list tuple set sorted reversed iter"
    " enter_context enter_async_context contextmanager"
)
"""Calls that return their argument."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Evaluates calls."""

    project: Project
    annotations: Annotations
    returns: ReturnedTypes
    awaitables: Awaitables

    def result(self, file: int, value: Any) -> Types:
        """Return what the value of a call may be."""
        callees = self.project.evaluate(file, value[1])
        if not callees:
            name = tail(value[1])
            if name in ("run_in_executor", "to_thread"):
                return self._offloaded(file, value, 1 if name == "run_in_executor" else 0)
            if name == "enter_context":
                return joined(map(self.awaitables.entered, self._argument(file, value, 0)))
        return joined(self._call(file, callee, value) for callee in callees)[: 2 * FINITE]

    def _call(self, file: int, callee: Type, value: Any) -> Types:
        """Return what calling a type gives."""
        tag = callee[0]
        if tag == "X":
            return self._outside_call(file, callee[1], value)
        if tag == "OM":
            return self._method_call(file, callee, value)
        if tag in ("F", "B"):
            return self.returns.overloaded(callee, value) or self.returns.returned(
                callee[1], callee[2], callee
            )
        if tag == "C":
            return (("I", callee[1], callee[2]),)
        if tag == "V":
            return callee[1]  # type: ignore[no-any-return]
        if tag == "P":
            return joined(self._call(file, one, value) for one in callee[1])
        if tag == "O":
            return instance_of(self.project.catalogue.cls(callee[1]).called)
        if tag == "Z":
            leaf = self.project.catalogue.deep_leaf(callee[1], callee[2])
            return (callee,) if leaf is None or self.project.catalogue.cls(callee[1]).fluent else ()
        if tag == "I":
            method = self.project.method(callee[1], callee[2], "__call__")
            if method is not None:
                return self.returns.returned(*method)
        return ()

    def _outside_call(self, file: int, path: str, value: Any) -> Types:
        name = path.rpartition(".")[2]
        special = self._special(file, path, name, value)
        if special is not None:
            return special
        given = self.project.catalogue.returned(path)
        if given is not None:
            result = instance_of(given[0])
            if not given[1]:
                return result
            # asyncpg.create_pool() can be awaited and entered; its result is the same.
            maker = path in self.project.catalogue.makers
            return (("K", result), ("A", result)) if maker else (("K", result),)
        if path in self.project.catalogue.classes:
            return (("O", path, _bounded(value)),)
        module, _, method = path.rpartition(".")
        if (
            module in self.project.catalogue.classes
        ):  # a class method, or a method called on the class
            owner = self.project.catalogue.cls(module)
            if method in owner.returns:
                return instance_of(owner.returns[method])
            if method in owner.awaits:
                return (("K", instance_of(owner.awaits[method])),)
            if owner.path.startswith("boto3") or method.startswith("from_"):
                return instance_of(module)
        return (("O", path, _bounded(value)),) if name[:1].isupper() else ()

    def _special(self, file: int, path: str, name: str, value: Any) -> Types | None:
        """Return the result of a call that returns one of its arguments, or what that makes."""
        if path in OFFLOADING:
            return (("V", (("K", ()),)),)
        first = self._argument(file, value, 0)
        if name == "partial":
            return (("P", first),)
        if name in ("Depends", "Security", "Provide"):
            return joined(_unwrapped(self._call(file, one, value)) for one in first)
        if path in ("asyncio.to_thread", "anyio.to_thread.run_sync") or name == "run_in_threadpool":
            return self._offloaded(file, value, 0)
        if path in ("typing.cast", "typing_extensions.cast"):
            return self.annotations.instance(file, dict(_args(value)).get(0))
        if path in ("builtins.next", "builtins.max", "builtins.min"):
            return inside(first, "R")
        if path == "asyncio.run" or name == "run_until_complete":
            return inside(first, "K")
        if path == "builtins.map":
            return (("R", joined(self._call(file, one, value) for one in first)),)
        if path == "builtins.enumerate":
            return (("R", (("T", ((), inside(first, "R"))),)),)
        if path == "builtins.open":
            return instance_of("file")
        if path == "builtins.type":
            return tuple(("C", *one[1:3]) for one in first if one[0] == "I")
        if path in ("contextlib.closing", "contextlib.nullcontext"):
            return (("S", first),)
        if path == "contextlib.aclosing":
            return (("A", first),)
        if name in _SAME and not path.startswith("contextlib."):
            return first
        return None

    def _method_call(self, file: int, callee: Type, value: Any) -> Types:
        path, name = callee[1], callee[2]
        if name == "run_in_executor":
            return self._offloaded(file, value, 1)
        if name == "run_until_complete":
            return inside(self._argument(file, value, 0), "K")
        if name == "enter_context":
            return joined(map(self.awaitables.entered, self._argument(file, value, 0)))
        if name == "enter_async_context":
            entered = joined(map(self.awaitables.entered_async, self._argument(file, value, 0)))
            return (("K", entered),)
        entry = self.project.catalogue.cls(path)
        if name in entry.one_of and isinstance(callee[3], tuple):
            row: Types = (callee[3],)
            return (("K", row),) if name.startswith("a") else row
        if name in entry.elements_of:
            return (("R", instance_of(entry.elements_of[name])),)
        if name in entry.returns:
            return instance_of(entry.returns[name])
        if name in entry.awaits:
            return (("K", instance_of(entry.awaits[name])),)
        if entry.fluent and entry.leaf(name) is None:
            return (("O", path, callee[3]),)
        return ()

    def _argument(self, file: int, value: Any, position: int) -> Types:
        return self.project.evaluate(file, dict(_args(value)).get(position))

    def _offloaded(self, file: int, value: Any, position: int) -> Types:
        called = self._argument(file, value, position)
        return (("K", joined(self._call(file, one, value) for one in called)),)


def _args(value: Any) -> tuple[tuple[int | str, Value], ...]:
    return value[2] if value is not None and value[0] == "c" else ()


def _bounded(value: Any) -> bool:
    """Return whether a queue is made with a size."""
    if value is None or value[0] != "c":
        return False
    sized = any(at in (0, "maxsize") and size for at, size in value[3])
    return sized or any(at in (0, "maxsize") for at, _ in value[2])


def _unwrapped(types: Types) -> Types:
    """Return what a dependency injects: awaited, or the first thing that is yielded."""
    return joined(one[1] if one[0] in ("K", "R", "A", "S") else (one,) for one in types)
