"""Annotations as types: Optional, Annotated, Depends, containers, awaitables."""

from abc import ABC, abstractmethod
from typing import Any

from loopclinic.scanner.catalogue import Catalogue
from loopclinic.scanner.facts.values import Value
from loopclinic.scanner.project import Project, Type, Types
from loopclinic.scanner.words import words

__all__ = ["Annotated"]

_ITERABLES = words(
    "list List set Set frozenset FrozenSet Sequence Iterable Iterator Collection deque Deque"
    " Generator AsyncIterator AsyncIterable AsyncGenerator MutableSequence AbstractSet"
)
_MAPPINGS = words(
    "dict Dict Mapping MutableMapping defaultdict DefaultDict OrderedDict WeakValueDictionary"
)
_AWAITABLES = frozenset({"Awaitable", "Coroutine", "Task", "Future"})
_TRANSPARENT = frozenset(
    {"Optional", "Union", "Final", "ClassVar", "Required", "NotRequired", "InitVar", "Mapped"}
)


class Annotated(ABC):
    """Reads annotations, with what the evaluation of names gives."""

    project: Project
    catalogue: Catalogue
    _instances: dict[tuple[int, int], Types]

    @abstractmethod
    def evaluate(self, file: int, value: Value) -> Types:
        """Return what a value may be."""

    @abstractmethod
    def _entered(self, file: int, value: Any) -> Types:
        """Return what a `with` of it gives."""

    @abstractmethod
    def _entered_async(self, file: int, value: Any) -> Types:
        """Return what an `async with` of it gives."""

    def instance(self, file: int, annotation: Value) -> Types:
        """Return the type of something with this annotation."""
        if annotation is None:
            return ()
        key = (file, id(annotation))
        known = self._instances.get(key)
        if known is None:
            self._instances[key] = ()  # an alias of itself, as for JSON, ends here
            known = self._instances[key] = self._instance(file, annotation)
        return known

    def _instance(self, file: int, annotation: tuple[Any, ...]) -> Types:
        if annotation[0] == "an":
            return self._subscripted(file, annotation)
        found: list[Type] = []
        for one in self.evaluate(file, annotation):
            if one[0] == "C":
                found.append(("I", one[1], one[2]))
            elif one[0] == "X":
                found.append(("O", one[1], False))
            else:  # an alias: DbSession = Annotated[Session, Depends(get_db)]
                found.append(one)
        aliased = self._alias(file, annotation)
        return aliased or tuple(found)

    def _alias(self, file: int, annotation: Value) -> Types:
        """Return the type behind a name that is itself bound to an annotation."""
        if annotation is None or annotation[0] not in ("g", "if"):
            return ()
        where: int | None = file
        name = annotation[-1]
        if annotation[0] == "g":
            values = self.project.of(file).bindings.get(name, [])
            if len(values) == 1 and values[0] is not None and values[0][0] == "if":
                return self._alias(file, values[0])
        else:
            level, module = annotation[1], annotation[2]
            modules = self.project.modules
            where = (
                modules.relative(file, level, module) if level else modules.absolute(file, module)
            )
            if not self.project.has(where):
                return ()
            values = self.project.of(where).bindings.get(name, [])
            if len(values) == 1 and values[0] is not None and values[0][0] == "if":
                return self._alias(where, values[0])
        if len(values) == 1 and values[0] is not None and values[0][0] == "an":
            return self._subscripted(file if where is None else where, values[0])
        return ()

    def _subscripted(self, file: int, annotation: Any) -> Types:
        base, args = annotation[1], annotation[2]
        name = base[-1] if base is not None and base[0] in ("g", "if", "a") else ""
        if base is not None and base[0] == "g":
            values = self.project.of(file).bindings.get(name)
            if values and values[0] is not None and values[0][0] == "if":
                name = values[0][3]
        named = self.evaluate(file, base)
        if any(one[0] == "X" and one[1] in self.catalogue.classes for one in named):
            return self.instance(file, base)
        if name == "Annotated":
            return self._annotated(file, args)
        if name in _TRANSPARENT:
            return self._joined(file, args)
        if name in _ITERABLES:
            return (("R", self.instance(file, args[0]) if args else ()),)
        if name in _MAPPINGS:
            return (("D", self.instance(file, args[1]) if len(args) > 1 else ()),)
        if name in _AWAITABLES:
            return (("K", self.instance(file, args[-1]) if args else ()),)
        if name in ("tuple", "Tuple"):
            return (("T", tuple(self.instance(file, one) for one in args)),)
        if name in ("type", "Type"):
            return self.evaluate(file, args[0]) if args else ()
        if name in ("ContextManager", "AbstractContextManager"):
            return (("S", self.instance(file, args[0]) if args else ()),)
        if name in ("AsyncContextManager", "AbstractAsyncContextManager"):
            return (("A", self.instance(file, args[0]) if args else ()),)
        if name == "Callable":
            return (("V", self.instance(file, args[-1]) if args else ()),)
        return self.instance(file, base)

    def _joined(self, file: int, args: tuple[Value, ...]) -> Types:
        found: list[Type] = []
        for one in args:
            found += [more for more in self.instance(file, one) if more not in found]
        return tuple(found)

    def _annotated(self, file: int, args: tuple[Value, ...]) -> Types:
        found = self.instance(file, args[0]) if args else ()
        if found and any(one[0] != "O" or one[1] in self.catalogue.classes for one in found):
            return found
        for more in args[1:]:
            injected = self.evaluate(file, more)
            if injected:
                return injected
        return found
