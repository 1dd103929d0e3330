"""Awaitables and context managers: what awaiting or entering gives, and which calls can be awaited."""

from dataclasses import dataclass

from loopclinic.scanner.functions import Functions
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import Project, Type, Types, instance_of
from loopclinic.scanner.types.returned_types import ReturnedTypes

_STILL_ASYNC = words("staticmethod classmethod override abstractmethod retry wraps")
"""Decorators under which a coroutine function remains one."""


@dataclass(frozen=True, slots=True)
class Awaitables:
    """Answers by the type."""

    project: Project
    functions: Functions
    returns: ReturnedTypes

    def awaited(self, one: Type) -> Types:
        """Return what `await` gives."""
        if one[0] in ("K", "A"):
            return one[1]  # type: ignore[no-any-return]
        awaitable = one[0] == "O" and one[1] not in ("asyncio.Task", "asyncio.Future")
        return (one,) if awaitable else ()

    def entered(self, one: Type) -> Types:
        """Return what `with` gives."""
        if one[0] == "S":
            return one[1]  # type: ignore[no-any-return]
        if one[0] == "O" and one[1] in self.project.catalogue.classes:
            return instance_of(self.project.catalogue.cls(one[1]).enters or one[1])
        return self._by_method(one, "__enter__")

    def entered_async(self, one: Type) -> Types:
        """Return what `async with` gives."""
        if one[0] in ("A", "K"):
            return one[1]  # type: ignore[no-any-return]
        if one[0] == "O":
            return instance_of(self.project.catalogue.cls(one[1]).async_enters)
        return self._by_method(one, "__aenter__")

    def _by_method(self, one: Type, name: str) -> Types:
        if one[0] != "I":
            return ()
        method = self.project.method(one[1], one[2], name)
        return (self.returns.returned(*method) if method is not None else ()) or (one,)

    def gives_coroutine(self, one: Type) -> bool:
        """Return whether calling this gives a coroutine."""
        if one[0] in ("F", "B"):
            function = self.project.function(one[1], one[2])
            if "generator" in function.traits or not function.is_async:
                return False
            if not function.decorators:
                return True
            wrapper = self.functions.wrapper(one[1], function)
            if wrapper is not None:
                return self.project.function(*wrapper).is_async
            return function.decorator_names <= _STILL_ASYNC
        if one[0] == "X":
            return self.project.catalogue.awaited(one[1])
        if one[0] == "Z":
            return one[2][-1] in self.project.catalogue.cls(one[1]).deep_awaits and len(one[2]) > 1
        return one[0] == "OM" and one[2] in self.project.catalogue.cls(one[1]).awaits

    def awaitable(self, types: Types, *, entered: bool) -> Types:
        """Return those of several callees whose result can be awaited, or entered by `async with`."""
        can = [self._can_await(one, entered=entered) for one in types]
        surely = any(can)
        return tuple(
            one for one, it in zip(types, can, strict=True) if (it if surely else it is None)
        )

    def _can_await(self, one: Type, *, entered: bool) -> bool | None:
        if one[0] not in ("F", "B"):
            return self.gives_coroutine(one) or None
        function = self.project.function(one[1], one[2])
        found = self.returns.returned(one[1], one[2], one)
        known = [self._awaits(more, entered=entered) for more in found]
        if function.is_async or True in known or None in known or not found:
            return True if function.is_async or True in known else None
        return None if "generator" in function.traits or function.decorators else False

    def _awaits(self, one: Type, *, entered: bool) -> bool | None:
        if one[0] in ("K", "A"):
            return True
        if one[0] == "I":
            name = "__aenter__" if entered else "__await__"
            if self.project.member(one[1], one[2], name) is not None:
                return True
            return None if self.project.outside(one[1], one[2]) else False
        return False if one[0] in ("R", "D", "T", "S") or one[1] == "file" else None
