"""What calling something gives, and whether it runs in the caller."""

from abc import abstractmethod
from typing import Any

from loopclinic.scanner.annotated import Annotated
from loopclinic.scanner.decorators import OFFLOADING, Decorators
from loopclinic.scanner.facts.record import Function
from loopclinic.scanner.facts.values import Value, tail
from loopclinic.scanner.project import Type, Types
from loopclinic.scanner.words import words

__all__ = ["Calls"]

_SAME = words(
    "cast copy deepcopy closing aclosing shield wait_for list tuple set sorted reversed iter"
    " enter_context enter_async_context contextmanager"
)


class Calls(Annotated):
    """Evaluates calls, with what the evaluation of values gives."""

    decorators: Decorators

    @abstractmethod
    def member_of(self, base: Type, name: str) -> Types:
        """Return what `.name` of a class or instance is."""

    def _result(self, file: int, value: Any) -> Types:
        found: list[Type] = []
        callees = self.evaluate(file, value[1])
        for callee in callees:
            found += [one for one in self.call(file, callee, value) if one not in found]
        if not callees and tail(value[1]) in ("run_in_executor", "to_thread"):
            return self._offloaded(file, value, 1 if tail(value[1]) == "run_in_executor" else 0)
        if not callees and tail(value[1]) == "enter_context":
            return self._argument(file, value, 0, entering="e")
        return tuple(found[:8])

    def call(self, file: int, callee: Type, value: Any) -> Types:
        """Return what calling a type gives."""
        tag = callee[0]
        if tag == "X":
            return self._outside_call(file, callee[1], value)
        if tag == "OM":
            return self._method_call(file, callee, value)
        if tag in ("F", "B"):
            return self.returned(callee[1], callee[2], callee)
        if tag == "C":
            return (("I", callee[1], callee[2]),)
        if tag == "V":
            return callee[1]  # type: ignore[no-any-return]
        if tag == "P":
            found: list[Type] = []
            for one in callee[1]:
                found += self.call(file, one, value)
            return tuple(found)
        if tag == "O":
            entry = self.catalogue.classes.get(callee[1])
            return (("O", entry.called, False),) if entry is not None and entry.called else ()
        if tag == "Z":
            return (callee,)
        if tag == "I":
            method = self.project.method(callee[1], callee[2], "__call__")
            if method is not None:
                return self.returned(*method)
        return ()

    def _outside_call(self, file: int, path: str, value: Any) -> Types:
        name = path.rpartition(".")[2]
        special = self._special(file, path, name, value)
        if special is not None:
            return special
        given = self.catalogue.returned(path)
        if given is not None:
            result: Types = (("O", given[0], False),) if given[0] else ()
            if not given[1]:
                return result
            # asyncpg.create_pool() can be awaited and entered; its result is the same.
            return (
                (("K", result), ("A", result))
                if path in self.catalogue.makers
                else (("K", result),)
            )
        if path in self.catalogue.classes:
            return (("O", path, _bounded(value)),)
        module, _, method = path.rpartition(".")
        owner = self.catalogue.classes.get(module)
        if owner is not None:  # a class method, or a method called on the class
            if method in owner.returns:
                return (("O", owner.returns[method], False),)
            if method in owner.awaits:
                return (
                    ("K", (("O", owner.awaits[method], False),) if owner.awaits[method] else ()),
                )
            if owner.path.startswith("boto3") or method.startswith("from_"):
                return (("O", module, False),)
        if name[:1].isupper():
            return (("O", path, _bounded(value)),)
        return ()

    def _special(self, file: int, path: str, name: str, value: Any) -> Types | None:
        """Calls whose result is one of their arguments, or made by one."""
        if path in OFFLOADING:
            return (("V", (("K", ()),)),)
        if name == "partial":
            return (("P", self._argument(file, value, 0)),)
        if name in ("Depends", "Security", "Provide"):
            found: list[Type] = []
            for one in self._argument(file, value, 0):
                found += _unwrapped(self.call(file, one, value))
            return tuple(found)
        if path in ("asyncio.to_thread", "anyio.to_thread.run_sync"):
            return self._offloaded(file, value, 0)
        if name == "run_in_threadpool":
            return self._offloaded(file, value, 0)
        if path in ("typing.cast", "typing_extensions.cast"):
            arg = next((one for at, one in _args(value) if at == 0), None)
            return self.instance(file, arg)
        if path in ("builtins.next", "builtins.max", "builtins.min"):
            return _elements(self._argument(file, value, 0))
        if path == "asyncio.run" or name == "run_until_complete":
            return _awaited(self._argument(file, value, 0))
        if path == "builtins.map":
            made: list[Type] = []
            for one in self._argument(file, value, 0):
                made += self.call(file, one, value)
            return (("R", tuple(made)),)
        if path == "builtins.enumerate":
            return (("R", (("T", ((), _elements(self._argument(file, value, 0)))),)),)
        if path == "builtins.open":
            return (("O", "io.TextIOWrapper", False),)
        if path == "builtins.type":
            return tuple(
                ("C", *one[1:3]) for one in self._argument(file, value, 0) if one[0] == "I"
            )
        if path in ("contextlib.closing", "contextlib.nullcontext"):
            return (("S", self._argument(file, value, 0)),)
        if path == "contextlib.aclosing":
            return (("A", self._argument(file, value, 0)),)
        if name in _SAME and not path.startswith("contextlib."):
            return self._argument(file, value, 0)
        return None

    def _method_call(self, file: int, callee: Type, value: Any) -> Types:
        path, name = callee[1], callee[2]
        entry = self.catalogue.classes.get(path)
        if name == "run_in_executor":
            return self._offloaded(file, value, 1)
        if name == "run_until_complete":
            return _awaited(self._argument(file, value, 0))
        if name in ("enter_context", "enter_async_context"):
            entering = "e" if name == "enter_context" else "E"
            found = self._argument(file, value, 0, entering=entering)
            return found if entering == "e" else (("K", found),)
        if entry is None:
            return ()
        if name in entry.one_of and isinstance(callee[3], tuple):
            row: Types = (callee[3],)
            return (("K", row),) if name.startswith("a") else row
        if name in entry.elements_of:
            return (("R", (("O", entry.elements_of[name], False),)),)
        if name in entry.returns:
            return (("O", entry.returns[name], False),)
        if name in entry.awaits:
            given = entry.awaits[name]
            return (("K", (("O", given, False),) if given else ()),)
        if entry.fluent and entry.leaf(name) is None:
            return (("O", path, callee[3]),)
        return ()

    def _argument(self, file: int, value: Any, position: int, *, entering: str = "") -> Types:
        for at, one in _args(value):
            if at == position:
                if entering == "e":
                    return self._entered(file, ("e", one))
                if entering == "E":
                    return self._entered_async(file, ("E", one))
                return self.evaluate(file, one)
        return ()

    def _offloaded(self, file: int, value: Any, position: int) -> Types:
        found: list[Type] = []
        for one in self._argument(file, value, position):
            found += self.call(file, one, value)
        return (("K", tuple(found)),)

    def returned(self, file: int, function: int, callee: Type | None = None) -> Types:
        """Return what calling a function of the project gives."""
        one = self.project.function(file, function)
        if self.decorators.offload(file, one):
            return (("K", ()),)
        plain = self._plainly_returned(file, one, callee)
        names = one.decorator_names
        if "contextmanager" in names:
            return (("S", _elements(plain)),)
        if "asynccontextmanager" in names:
            return (("A", _elements(plain)),)
        if any(
            decorator is not None and decorator[0] in ("g", "if", "a", "c")
            for decorator in one.decorators
        ):
            wrapper = self.decorators.wrapper(file, one)
            if (
                wrapper is not None
                and self.project.function(*wrapper).is_async
                and not one.is_async
            ):
                return (("K", plain),)
        return plain

    def _plainly_returned(self, file: int, one: Function, callee: Type | None) -> Types:
        declared = self.instance(file, one.annotation) if one.annotation is not None else ()
        if "generator" in one.traits:
            if declared and declared[0][0] == "R":
                return declared
            yielded = self.evaluate(file, one.yields[0]) if one.yields else ()
            return (("R", yielded),)
        found = declared
        if not any(one[0] != "O" or one[1] in self.catalogue.classes for one in declared):
            found = self.evaluate(file, one.returns[0]) if one.returns else ()
            found = found or declared
        if callee is not None and callee[0] == "B" and one.returns:
            # `return self` in a base class gives what it was called on.
            value = one.returns[0]
            if value is not None and value[0] == "self":
                found = (("I", callee[3], callee[4]),)
        if "async" in one.traits:
            return (("K", found),)
        return found


def _args(value: Any) -> tuple[tuple[int | str, Value], ...]:
    return value[2] if value is not None and value[0] == "c" else ()


def _bounded(value: Any) -> bool:
    """Whether a queue is made with a size."""
    if value is None or value[0] != "c":
        return False
    sized = any(at in (0, "maxsize") and size for at, size in value[3])
    return sized or any(at in (0, "maxsize") for at, _ in value[2])


def _elements(types: Types) -> Types:
    found: list[Type] = []
    for one in types:
        if one[0] == "R":
            found += one[1]
    return tuple(found)


def _awaited(types: Types) -> Types:
    found: list[Type] = []
    for one in types:
        found += one[1] if one[0] == "K" else ()
    return tuple(found)


def _unwrapped(types: Types) -> Types:
    """Return what a dependency injects: awaited, or the first thing that is yielded."""
    found: list[Type] = []
    for one in types:
        found += one[1] if one[0] in ("K", "R", "A", "S") else (one,)
    return tuple(found)
