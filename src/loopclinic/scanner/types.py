"""Infers types of values across files, on demand and once each."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from loopclinic.scanner.facts.fact_records import Function, Parameter
from loopclinic.scanner.facts.values import FINITE, Value, tail
from loopclinic.scanner.functions import OFFLOADING, Functions
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import Project, Type, Types, joined

_STILL_ASYNC = words("staticmethod classmethod override abstractmethod retry wraps")
"""Decorators under which a coroutine function remains one."""
_DEEP = 60
"""Values nested deeper than this stay unknown."""
_SAME = words(
    "cast copy deepcopy closing aclosing shield wait_for list tuple set sorted reversed iter"
    " enter_context enter_async_context contextmanager"
)
"""Calls that return their argument."""
_TRANSPARENT = words("Optional Union Final ClassVar Required NotRequired InitVar Mapped")
_ITERABLES = words(
    "list List set Set frozenset FrozenSet Sequence Iterable Iterator Collection deque Deque"
    " Generator AsyncIterator AsyncIterable AsyncGenerator MutableSequence AbstractSet"
)
_MAPPINGS = words(
    "dict Dict Mapping MutableMapping defaultdict DefaultDict OrderedDict WeakValueDictionary"
)
# Name of a generic type -> the tag of what it stands for, and which of its arguments that holds.
_GENERIC = {
    **dict.fromkeys(_ITERABLES, ("R", 0)),
    **dict.fromkeys(_MAPPINGS, ("D", 1)),
    **dict.fromkeys(("Awaitable", "Coroutine", "Task", "Future"), ("K", -1)),
    **dict.fromkeys(("ContextManager", "AbstractContextManager"), ("S", 0)),
    **dict.fromkeys(("AsyncContextManager", "AbstractAsyncContextManager"), ("A", 0)),
    "Callable": ("V", -1),
}


class Inference:
    """Evaluates values and annotations of a project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.catalogue = project.catalogue
        project.evaluate = self.evaluate
        self.functions = Functions(project)
        self._known: dict[tuple[int, int], Types] = {}
        self._instances: dict[tuple[int, int], Types] = {}
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
            "a": self._attribute,
            "c": self._result,
            "w": self._each(self._awaited),
            "e": self._each(self._entered),
            "E": self._each(self._entered_async),
            "i": self._each(self._element),
            "I": self._each(self._element),
            "s": self._each(self._item),
            "n": self._nth,
            "u": lambda file, value: self._all(file, value[1]),
            "t": lambda file, value: self.instance(file, value[1]),
            "p": self._parameter,
            "an": lambda file, value: self.evaluate(file, value[1]),
            "tu": lambda file, value: (("T", tuple(self.evaluate(file, one) for one in value[1])),),
            "ls": lambda file, value: (("R", self._all(file, value[1])),),
            "di": lambda file, value: (("D", self._all(file, value[1])),),
            "d": self._each(self._divided),
            "k": lambda _, value: _made(f"builtins.{value[1]}"),
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

    def _all(self, file: int, values: Iterable[Value]) -> Types:
        return joined(self.evaluate(file, value) for value in values)[: 2 * FINITE]

    def _each(self, step: Callable[[Type], Types]) -> Callable[[int, Any], Types]:
        """Return what evaluates a value of one part: its types, each taken one step further."""
        return lambda file, value: joined(map(step, self.evaluate(file, value[1])))

    # Steps.

    def _awaited(self, one: Type) -> Types:
        if one[0] in ("K", "A"):
            return one[1]  # type: ignore[no-any-return]
        awaitable = one[0] == "O" and one[1] not in ("asyncio.Task", "asyncio.Future")
        return (one,) if awaitable else ()

    def _entered(self, one: Type) -> Types:
        if one[0] == "S":
            return one[1]  # type: ignore[no-any-return]
        if one[0] == "O" and one[1] in self.catalogue.classes:
            return _made(self.catalogue.cls(one[1]).enters or one[1])
        return self._by_method(one, "__enter__")

    def _entered_async(self, one: Type) -> Types:
        if one[0] in ("A", "K"):
            return one[1]  # type: ignore[no-any-return]
        if one[0] == "O":
            return _made(self.catalogue.cls(one[1]).async_enters)
        return self._by_method(one, "__aenter__")

    def _by_method(self, one: Type, name: str) -> Types:
        if one[0] != "I":
            return ()
        method = self.project.method(one[1], one[2], name)
        return (self.returned(*method) if method is not None else ()) or (one,)

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
            subscript = self.catalogue.cls(one[1]).subscript
            slice_of_rows = isinstance(one[2], tuple)
            return _made(subscript) or ((one,) if slice_of_rows else ())
        return (one,) if one[0] in ("X", "C") else ()  # a generic class with its arguments

    def _divided(self, one: Type) -> Types:
        return _made(self.catalogue.cls(one[1]).divided) if one[0] == "O" else ()

    def _nth(self, file: int, value: Any) -> Types:
        found: list[Types] = []
        for one in self.evaluate(file, value[1]):
            if one[0] == "T":
                found += one[1][value[2] : value[2] + 1]
            elif one[0] == "R":
                found.append(one[1])
            elif one[0] == "O":
                found += map(_made, self.catalogue.cls(one[1]).parts[value[2] : value[2] + 1])
        return joined(found)

    def _parameter(self, file: int, value: Any) -> Types:
        _, index, position = value
        parameters = self.project.function(file, index).parameters
        if position >= len(parameters):
            return ()
        _, annotation, default = parameters[position]
        found = self.instance(file, annotation)
        if annotation is None:
            return self.evaluate(file, default) or self.functions.passed(file, index, position)
        if found and not self.project.any_protocol(found):
            return found
        return found + self.functions.passed(file, index, position)

    def _narrowed(self, file: int, value: Any) -> Types:
        found = self.evaluate(file, value[1])
        wanted = () if value[2] is None else self.instance(file, value[2])
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

    # Attributes.

    def _attribute(self, file: int, value: Any) -> Types:
        bases = self.evaluate(file, value[1])
        return joined(self.attribute(file, one, value[2]) for one in bases)[: 2 * FINITE]

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
            return (self.project.imported(file, f"{base[1]}.{name}"),)
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
        entry = self.catalogue.cls(base[1])
        if name in entry.attributes:
            return _made(entry.attributes[name])
        if (
            (entry.deep or entry.deep_awaits)
            and name not in entry.deep_async_names
            and name not in entry.unless
        ):
            return (("Z", base[1], (name,)),)
        if entry.any_attribute and entry.leaf(name) is None and name not in entry.returns:
            return _made(entry.any_attribute)
        return (("OM", base[1], name, base[2]),)

    def member_of(self, base: Type, name: str) -> Types:
        """Return what `.name` is on an instance, a class or super() of the project."""
        tag, file, cls = base[:3]
        member = self.project.member(file, cls, name, above=tag == "super")
        if member is None and tag == "I":
            children = self.project.children(file, cls)
            members = (self.project.member(*child, name) for child in children)
            found = [one for one in members if one is not None]
            colors = {
                self.project.function(one[1], one[3]).is_async
                for one in found
                if one[0] == "method"
            }
            member = found[0] if found and len(colors) < 2 else None  # else this may be either form
        if member is None:
            for path in self.project.outside(file, cls):
                if path in self.catalogue.classes:
                    attributes = self.catalogue.cls(path).attributes
                    if name in attributes:
                        # A manager of rows: what it gives is of this class.
                        return (("O", attributes[name], ("I", file, cls)),)
                    outside = ("O", path, False) if tag != "C" else ("X", path)
                    return self.attribute(file, outside, name)
            return ()
        how, where, _, found = member
        if how == "attribute":
            types = self._all(where, found[:FINITE])
            if self.project.any_protocol(types):
                types += self.functions.field(file, cls, name)
            return types
        function = self.project.function(where, found)
        if function.is_property:
            return self.returned(where, found)
        if "static" in function.traits or (tag == "C" and "class" not in function.traits):
            return (("F", where, found),)
        return (("B", where, found, file, cls),)

    # Calls.

    def _result(self, file: int, value: Any) -> Types:
        callees = self.evaluate(file, value[1])
        if not callees:
            name = tail(value[1])
            if name in ("run_in_executor", "to_thread"):
                return self._offloaded(file, value, 1 if name == "run_in_executor" else 0)
            if name == "enter_context":
                return joined(map(self._entered, self._argument(file, value, 0)))
        return joined(self.call(file, callee, value) for callee in callees)[: 2 * FINITE]

    def call(self, file: int, callee: Type, value: Any) -> Types:
        """Return what calling a type gives."""
        tag = callee[0]
        if tag == "X":
            return self._outside_call(file, callee[1], value)
        if tag == "OM":
            return self._method_call(file, callee, value)
        if tag in ("F", "B"):
            return self._overloaded(callee, value) or self.returned(callee[1], callee[2], callee)
        if tag == "C":
            return (("I", callee[1], callee[2]),)
        if tag == "V":
            return callee[1]  # type: ignore[no-any-return]
        if tag == "P":
            return joined(self.call(file, one, value) for one in callee[1])
        if tag == "O":
            return _made(self.catalogue.cls(callee[1]).called)
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
            result = _made(given[0])
            if not given[1]:
                return result
            # asyncpg.create_pool() can be awaited and entered; its result is the same.
            maker = path in self.catalogue.makers
            return (("K", result), ("A", result)) if maker else (("K", result),)
        if path in self.catalogue.classes:
            return (("O", path, _bounded(value)),)
        module, _, method = path.rpartition(".")
        if module in self.catalogue.classes:  # a class method, or a method called on the class
            owner = self.catalogue.cls(module)
            if method in owner.returns:
                return _made(owner.returns[method])
            if method in owner.awaits:
                return (("K", _made(owner.awaits[method])),)
            if owner.path.startswith("boto3") or method.startswith("from_"):
                return _made(module)
        return (("O", path, _bounded(value)),) if name[:1].isupper() else ()

    def _special(self, file: int, path: str, name: str, value: Any) -> Types | None:
        """Return the result of a call that returns one of its arguments, or what that makes."""
        if path in OFFLOADING:
            return (("V", (("K", ()),)),)
        first = self._argument(file, value, 0)
        if name == "partial":
            return (("P", first),)
        if name in ("Depends", "Security", "Provide"):
            return joined(_unwrapped(self.call(file, one, value)) for one in first)
        if path in ("asyncio.to_thread", "anyio.to_thread.run_sync") or name == "run_in_threadpool":
            return self._offloaded(file, value, 0)
        if path in ("typing.cast", "typing_extensions.cast"):
            return self.instance(file, dict(_args(value)).get(0))
        if path in ("builtins.next", "builtins.max", "builtins.min"):
            return _inside(first, "R")
        if path == "asyncio.run" or name == "run_until_complete":
            return _inside(first, "K")
        if path == "builtins.map":
            return (("R", joined(self.call(file, one, value) for one in first)),)
        if path == "builtins.enumerate":
            return (("R", (("T", ((), _inside(first, "R"))),)),)
        if path == "builtins.open":
            return _made("file")
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
            return _inside(self._argument(file, value, 0), "K")
        if name == "enter_context":
            return joined(map(self._entered, self._argument(file, value, 0)))
        if name == "enter_async_context":
            entered = joined(map(self._entered_async, self._argument(file, value, 0)))
            return (("K", entered),)
        entry = self.catalogue.cls(path)
        if name in entry.one_of and isinstance(callee[3], tuple):
            row: Types = (callee[3],)
            return (("K", row),) if name.startswith("a") else row
        if name in entry.elements_of:
            return (("R", _made(entry.elements_of[name])),)
        if name in entry.returns:
            return _made(entry.returns[name])
        if name in entry.awaits:
            return (("K", _made(entry.awaits[name])),)
        if entry.fluent and entry.leaf(name) is None:
            return (("O", path, callee[3]),)
        return ()

    def _argument(self, file: int, value: Any, position: int) -> Types:
        return self.evaluate(file, dict(_args(value)).get(position))

    def _offloaded(self, file: int, value: Any, position: int) -> Types:
        called = self._argument(file, value, position)
        return (("K", joined(self.call(file, one, value) for one in called)),)

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
            return self.catalogue.awaited(one[1])
        if one[0] == "Z":
            return one[2][-1] in self.catalogue.cls(one[1]).deep_awaits and len(one[2]) > 1
        return one[0] == "OM" and one[2] in self.catalogue.cls(one[1]).awaits

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
        found = self.returned(one[1], one[2], one)
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

    def _overloaded(self, callee: Type, value: Any) -> Types:
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
                found = self.instance(file, one.annotation)
                return (("K", found),) if one.is_async else found
        return ()

    def returned(self, file: int, function: int, callee: Type | None = None) -> Types:
        """Return what calling a function of the project gives."""
        one = self.project.function(file, function)
        if self.functions.offload(file, one):
            return (("K", ()),)
        plain = self._plainly_returned(file, one, callee)
        names = one.decorator_names
        if "contextmanager" in names:
            return (("S", _inside(plain, "R")),)
        if "asynccontextmanager" in names:
            return (("A", _inside(plain, "R")),)
        wrapper = None if one.is_async else self.functions.wrapper(file, one)
        if wrapper is not None and self.project.function(*wrapper).is_async:
            return (("K", plain),)
        return plain

    def _plainly_returned(self, file: int, one: Function, callee: Type | None) -> Types:
        declared = self.instance(file, one.annotation)
        if "generator" in one.traits:
            if declared and declared[0][0] == "R":
                return declared
            return (("R", self._all(file, one.yields)),)
        found = declared
        if not any(one[0] != "O" or one[1] in self.catalogue.classes for one in declared):
            found = self._all(file, one.returns) or declared
        if callee is not None and callee[0] == "B" and one.returns:
            # `return self` in a base class gives what it was called on.
            value = one.returns[0]
            if value is not None and value[0] == "self":
                found = (("I", callee[3], callee[4]),)
        return (("K", found),) if one.is_async else found

    # Annotations.

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
        aliased = self._alias(file, annotation)
        if aliased:
            return aliased
        found: list[Type] = []
        for one in self.evaluate(file, annotation):
            if one[0] == "C":
                found.append(("I", one[1], one[2]))
            elif one[0] == "X":
                found += _made(one[1])
            else:  # an alias: DbSession = Annotated[Session, Depends(get_db)]
                found.append(one)
        return tuple(found)

    def _alias(self, file: int, annotation: tuple[Any, ...]) -> Types:
        """Return the type behind a name that is itself bound to an annotation."""
        if annotation[0] == "g":
            where: int | None = file
        elif annotation[0] == "if":
            where = self.project.modules.find(file, annotation[1], annotation[2])
        else:
            return ()
        if not self.project.has(where):
            return ()
        values = self.project.of(where).bindings.get(annotation[-1], [])
        if len(values) != 1 or values[0] is None:
            return ()
        if values[0][0] == "if":
            return self._alias(where, values[0])
        return self._subscripted(where, values[0]) if values[0][0] == "an" else ()

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
            return joined(self.instance(file, one) for one in args)
        if name in _GENERIC:
            tag, at = _GENERIC[name]
            return ((tag, self.instance(file, args[at]) if args[at:] else ()),)
        if name in ("tuple", "Tuple"):
            return (("T", tuple(self.instance(file, one) for one in args)),)
        if name in ("type", "Type"):
            return self.evaluate(file, args[0]) if args else ()
        return self.instance(file, base)

    def _annotated(self, file: int, args: tuple[Value, ...]) -> Types:
        found = self.instance(file, args[0]) if args else ()
        if found and any(one[0] != "O" or one[1] in self.catalogue.classes for one in found):
            return found
        injected = (self.evaluate(file, more) for more in args[1:])
        return next(filter(None, injected), found)


def _made(path: str) -> Types:
    """Return an instance of the class at an import path; nothing for an empty path."""
    return (("O", path, False),) if path else ()


def _args(value: Any) -> tuple[tuple[int | str, Value], ...]:
    return value[2] if value is not None and value[0] == "c" else ()


def _bounded(value: Any) -> bool:
    """Return whether a queue is made with a size."""
    if value is None or value[0] != "c":
        return False
    sized = any(at in (0, "maxsize") and size for at, size in value[3])
    return sized or any(at in (0, "maxsize") for at, _ in value[2])


def _fits(value: Any, position: int, parameter: Parameter) -> bool:
    """Return whether a call gives, or leaves to its default, one of a parameter's literals."""
    given = [one for at, one in value[3] if at in (position, parameter.name)]
    if not given and parameter.default is not None and parameter.default[0] == "v":
        if any(at in (position, parameter.name) for at, _ in value[2]):
            return False
        given = [parameter.default[1]]
    return any(one is literal for one in given for literal in parameter.annotation[1])  # type: ignore[index]


def _inside(types: Types, tag: str) -> Types:
    """Return what the types of a tag give: the elements of "R", the results of "K"."""
    return joined(one[1] for one in types if one[0] == tag)


def _unwrapped(types: Types) -> Types:
    """Return what a dependency injects: awaited, or the first thing that is yielded."""
    return joined(one[1] if one[0] in ("K", "R", "A", "S") else (one,) for one in types)
