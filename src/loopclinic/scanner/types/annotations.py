"""Types from annotations: aliases, generics, Annotated with what is injected."""

from typing import Any

from loopclinic.scanner.facts.values import Value
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import Project, Type, Types, instance_of, joined

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


class Annotations:
    """Evaluates annotations, each once."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._catalogue = project.catalogue
        self._known: dict[tuple[int, int], Types] = {}

    def instance(self, file: int, annotation: Value) -> Types:
        """Return the type of something with this annotation."""
        if annotation is None:
            return ()
        key = (file, id(annotation))
        known = self._known.get(key)
        if known is None:
            self._known[key] = ()  # an alias of itself, as for JSON, ends here
            known = self._known[key] = self._instance(file, annotation)
        return known

    def _instance(self, file: int, annotation: tuple[Any, ...]) -> Types:
        if annotation[0] == "an":
            return self._subscripted(file, annotation)
        aliased = self._alias(file, annotation)
        if aliased:
            return aliased
        found: list[Type] = []
        for one in self._project.evaluate(file, annotation):
            if one[0] == "C":
                found.append(("I", one[1], one[2]))
            elif one[0] == "X":
                found += instance_of(one[1])
            else:  # an alias: DbSession = Annotated[Session, Depends(get_db)]
                found.append(one)
        return tuple(found)

    def _alias(self, file: int, annotation: tuple[Any, ...]) -> Types:
        """Return the type behind a name that is itself bound to an annotation."""
        if annotation[0] == "g":
            where: int | None = file
        elif annotation[0] == "if":
            where = self._project.modules.find(file, annotation[1], annotation[2])
        else:
            return ()
        if not self._project.has(where):
            return ()
        values = self._project.of(where).bindings.get(annotation[-1], [])
        if len(values) != 1 or values[0] is None:
            return ()
        if values[0][0] == "if":
            return self._alias(where, values[0])
        return self._subscripted(where, values[0]) if values[0][0] == "an" else ()

    def _subscripted(self, file: int, annotation: Any) -> Types:
        base, args = annotation[1], annotation[2]
        name = base[-1] if base is not None and base[0] in ("g", "if", "a") else ""
        if base is not None and base[0] == "g":
            values = self._project.of(file).bindings.get(name)
            if values and values[0] is not None and values[0][0] == "if":
                name = values[0][3]
        named = self._project.evaluate(file, base)
        if any(one[0] == "X" and one[1] in self._catalogue.classes for one in named):
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
            return self._project.evaluate(file, args[0]) if args else ()
        return self.instance(file, base)

    def _annotated(self, file: int, args: tuple[Value, ...]) -> Types:
        found = self.instance(file, args[0]) if args else ()
        if found and any(one[0] != "O" or one[1] in self._catalogue.classes for one in found):
            return found
        injected = (self._project.evaluate(file, more) for more in args[1:])
        return next(filter(None, injected), found)
