"""Resolves an event in a function to a blocking call, or to another function of the project."""

import re
from dataclasses import replace
from typing import NamedTuple

from loopclinic.blocking_calls import Leaf
from loopclinic.scanner.facts.fact_records import (
    ANY_GUARD,
    AWAITED,
    AWAITS_INSIDE,
    ENTERED,
    FALLBACK,
    NO_STR,
    NO_TEXT,
    NONE,
    NOT_NONE,
    ONCE,
    TEXT,
    TRUE,
    Event,
    Function,
    Parameter,
)
from loopclinic.scanner.facts.values import Value, dotted, tail
from loopclinic.scanner.finding import weakest
from loopclinic.scanner.functions import calls_wrapped
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import Node, Project, Type
from loopclinic.scanner.types.inference import Inference

_ANY_OF = 4
"""Of more classes that define a method, hardly one is known to be meant."""
_ENTERING = ("__enter__", "__exit__")
_ITERATING = ("__iter__", "__next__")
_CALLING: dict[str, int | str] = {
    **dict.fromkeys(("builtins.map", "builtins.filter", "functools.reduce"), 0),
    **dict.fromkeys(("builtins.sorted", "builtins.min", "builtins.max"), "key"),
}
"""Functions that call an argument at once. asyncio.to_thread and its like are left out: a thread may block."""
_ASKING = {
    **dict.fromkeys(
        ("builtins.list", "builtins.sorted", "builtins.sum", "builtins.set"), "__iter__"
    ),
    "builtins.len": "__len__",
    "builtins.str": "__str__",
    "builtins.bool": "__bool__",
    "builtins.next": "__next__",
}
"""Functions that call a special method of their argument."""
_NO_WAIT = words("WNOHANG LOCK_NB AI_PASSIVE AI_NUMERICHOST CLIENT_AUTH")
"""Arguments of calls that do not wait: AI_PASSIVE asks for an address to listen at, of this machine.

An SSL context for CLIENT_AUTH loads no certificates by itself."""
_IN_MEMORY = words("io.BytesIO io.StringIO builtins.str builtins.bytes")
_STR = words("builtins.str builtins.address")
_TEXTUAL = _STR | {"builtins.bytes"}
_LOOKUPS = words("socket.getaddrinfo socket.gethostbyname socket.gethostbyname_ex")
_TEXTS = words("text content body data read decode getvalue")
"""Attributes and methods that give what has been fetched, not its address."""
_LOOP = re.compile(r"loop(\(\))?$", re.IGNORECASE)
"""Names of what is taken for a loop where nothing else is known about it."""


class Outcome(NamedTuple):
    """A leaf, or a function to go on with."""

    leaf: Leaf | None
    file: int = -1
    function: int = -1
    confidence: str = "certain"
    through: Node | None = None
    """The function that calls what it is handed."""
    candidate: int = 0
    """Which of several things that may be called it is, and how many these are."""
    candidates: int = 1
    later: bool = False
    """Whether the loop runs it after the call has returned."""


class Outcomes:
    """Answers what events of a project lead to."""

    def __init__(self, project: Project, types: Inference) -> None:
        self.project = project
        self.types = types
        self.catalogue = project.catalogue
        self.unresolved = 0

    def of(self, file: int, event: Event) -> list[Outcome]:
        """Return what one event leads to, less sure where it happens once or seldom; empty if nothing blocks."""
        found = self._of(file, event)
        if not event.flags & (ONCE | FALLBACK):
            return found
        sure = "hint" if event.flags & ONCE else "likely"
        return [one._replace(confidence=weakest(sure, one.confidence)) for one in found]

    def _of(self, file: int, event: Event) -> list[Outcome]:
        if event.op == "call":
            return self._call(file, event)
        if event.op == "with":
            found = self._special_calls(file, event, _ENTERING)
            if (
                event.flags & AWAITS_INSIDE
            ):  # what a pool of threads was given is awaited before its end
                found = [one for one in found if one.leaf is None or not ends_executor(one.leaf)]
            return found
        if event.op == "iter":
            return self._special_calls(file, event, _ITERATING)
        if event.op == "import":
            imported = self.types.evaluate(file, event.value)
            roots = [one[1].partition(".")[0] for one in imported if one[0] == "X"]
            return [
                one for root in roots for one in _at(self.catalogue.function(f"{root}.__import__"))
            ]
        if event.op == "attr":
            return self._attribute(file, event)
        return []

    def _call(self, file: int, event: Event) -> list[Outcome]:
        types = self.types.evaluate(file, event.value)
        if not types:
            self.unresolved += 1
            if tail(event.value) in self.catalogue.handing:
                return self.handed_to_loop(file, event)
        if event.flags & (AWAITED | ENTERED):
            types = self.types.awaitable(types, entered=not event.flags & AWAITED)
        if len(types) == 1:
            return self._target(file, types[0], event)
        found = [
            made._replace(candidate=number, candidates=len(types))
            for number, one in enumerate(types)
            for made in self._target(file, one, event)
        ]
        if any(one[0] == "OM" and one[1] in _IN_MEMORY for one in types):
            found = [one._replace(confidence="hint") for one in found]
        return found

    def _target(self, file: int, one: Type, event: Event | None) -> list[Outcome]:
        """Return what calling a type leads to; without an event, the arguments are not known."""
        tag = one[0]
        awaited = event is not None and bool(event.flags & AWAITED)
        if tag == "X":
            return self._outside(file, one[1], event, awaited=awaited)
        if tag == "OM":
            return self._method(file, one, event, awaited=awaited)
        if tag == "O":
            leaf = None if awaited else self.catalogue.cls(one[1]).leaf("__call__")
            return [] if leaf is None else [Outcome(replace(leaf, name=one[1]))]
        if tag == "Z":
            return [] if awaited else _at(self.catalogue.deep_leaf(one[1], one[2]))
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
        if not awaited:
            if _given(self.catalogue.if_given(path), event) and not (event and _at_once(event)):
                text = (
                    event is not None
                    and self.catalogue.reads_address(path)
                    and self._text(file, event)
                )
                numeric = event is not None and path in _LOOKUPS and self._numeric(file, event)
                found += [] if text or numeric else _at(self.catalogue.function(path))
            entry = self.catalogue.cls(path)
            making = entry.leaf("__init__") if "__init__" in entry.blocks else None
            names = () if event is None else (at for at, _ in (*event.args, *event.consts))
            if making is not None and not any(at in entry.free_if_given for at in names):
                found.append(Outcome(replace(making, name=path)))
        if event is not None and path in _ASKING:
            for asked in self.types.evaluate(file, dict(event.args).get(0)):
                if asked[0] == "I":
                    found += self._special(asked, (_ASKING[path],))
        if event is not None and self.catalogue.on_loop(path) is not None:
            found += self.handed_to_loop(file, event)
        if event is not None and path in _CALLING:
            found += self._handed(file, event, _CALLING[path])
        return found

    def _text(self, file: int, event: Event) -> bool:
        """Return whether the first argument of a call is what has been fetched: `answer.text`, `await read()`."""
        value = dict(event.args).get(0)
        if value is None:
            return False
        made = value[1] if value[0] == "c" else value
        name = self.named(file, made).rpartition(".")[2]
        return value[0] == "w" or name in _TEXTS or name.endswith(("BytesIO", "StringIO"))

    def _numeric(self, file: int, event: Event) -> bool:
        """Return whether no name is to be resolved: the host is an address, or not given."""
        value = dict(event.args).get(0)
        if value is None or not (value[0] == "k" or tail(value).isupper()):
            return dict(event.consts).get(0, "") is None
        return {one[1] for one in self.types.evaluate(file, value)} == {"builtins.address"}

    def handed_to_loop(self, file: int, event: Event) -> list[Outcome]:
        """Return what a call hands to a loop, which runs it later."""
        types = self.types.evaluate(file, event.value)
        keys: list[int | str | None] = []
        for one in types:
            if one[0] == "X":
                keys.append(self.catalogue.on_loop(one[1]))
            elif one[0] == "OM":
                keys.append(self.catalogue.cls(one[1]).on_loop.get(one[2]))
        value = event.value
        unknown = not types and value is not None and value[0] == "a"
        if unknown and value is not None and _LOOP.search(self.named(file, value[1])):
            keys.append(self.catalogue.cls("asyncio.AbstractEventLoop").on_loop.get(value[2]))
        sure = "certain" if types else "likely"
        return [
            found._replace(later=True, confidence=weakest(sure, found.confidence))
            for key in keys
            if key is not None
            for found in self._handed(file, event, key)
        ]

    def named(self, file: int, value: Value) -> str:
        """Return a value as a reader would write it, a parameter or a function within another by its name."""
        if value is None or value[0] not in ("p", "fn"):
            return dotted(value)
        function = self.project.function(file, value[1])
        return function.name if value[0] == "fn" else function.parameters[value[2]].name

    def _handed(
        self, file: int, event: Event, key: int | str, through: Node | None = None
    ) -> list[Outcome]:
        return [
            found._replace(through=through)
            for one in self.types.evaluate(file, dict(event.args).get(key))
            for found in self._target(file, one, None)
        ]

    def _method(self, file: int, one: Type, event: Event | None, *, awaited: bool) -> list[Outcome]:
        path, name = one[1], one[2]
        if event is not None:
            if name in self.catalogue.cls(path).on_loop:
                return self.handed_to_loop(file, event)
            if name == "enter_context" and event.args:
                return self._special_calls(file, event._replace(value=event.args[0][1]), _ENTERING)
        entry = self.catalogue.cls(path)
        if awaited or (name in entry.bounded and not one[3]) or (event and _at_once(event)):
            return []
        if not _given(entry.if_given.get(name), event):
            return []
        leaf = entry.leaf(name)
        if leaf is not None and path.rpartition(".")[2] != entry.path.rpartition(".")[2]:
            leaf = replace(leaf, name=f"{path}.{name}")  # not that of its twin
        return _at(leaf)

    def _function(
        self, file: int, one: Type, event: Event | None, *, awaited: bool
    ) -> list[Outcome]:
        where, index = one[1], one[2]
        function = self.project.function(where, index)
        functions = self.types.functions
        if self.catalogue.own and not awaited:
            path = ".".join((*self.project.modules.parts[where], function.qualname))
            leaf = self.catalogue.owned(path)
            if leaf is not None:
                return [Outcome(leaf)]
        found: list[Outcome] = []
        if event is not None:
            shift = 1 if one[0] == "B" else 0
            found += self._parameters_called(file, where, index, event, shift)
        if functions.offload(where, function):
            return found
        wrapper = functions.wrapper(where, function)
        body = True
        if wrapper is not None:
            made = self.project.function(*wrapper)
            if not made.is_async:  # it gives this call something to await: it has another form
                sure = "hint" if awaited and function.is_async else "certain"
                found.append(Outcome(None, *wrapper, sure))
            body = not made.is_async and calls_wrapped(made)
        elif awaited and functions.any_unknown(where, function):
            body = False
        if not body or function.is_async or "generator" in function.traits:
            return found
        if "stub" in function.traits and one[0] == "B":
            return found + self._overridden(function, one)
        found.append(Outcome(None, where, self._as_called(file, one, event)))
        return found

    def _as_called(
        self, file: int, one: Type, event: Event | None, shift: int | None = None
    ) -> int:
        """Return a function without what the arguments of a call switch off: constants, and texts."""
        where, index = one[1], one[2]
        function = self.project.function(where, index)
        guards = {step.guard for step in function.events if step.flags & ANY_GUARD}
        if not guards or event is None:
            return int(index)
        shift = (1 if one[0] == "B" else 0) if shift is None else shift
        off = frozenset(
            guard
            for guard in guards
            if guard is not None
            and self._off(file, event, guard[1], guard[0] - shift, function.parameters[guard[0]])
        )
        return self.project.without(where, index, off) if off else int(index)

    def _off(
        self, file: int, event: Event, needs: int, position: int, parameter: Parameter
    ) -> bool:
        """Return whether an argument is not what something needs."""
        if needs in (TEXT, NO_TEXT, NO_STR):
            given = dict(event.args)
            value = given.get(position, given.get(parameter.name))
            found = self.types.evaluate(file, value)
            types = {one[1] if one[0] == "O" else one[0] for one in found}
            if needs == TEXT:
                return bool(types) and types.isdisjoint(_TEXTUAL)
            return bool(types) and types <= (_STR if needs == NO_STR else _TEXTUAL)
        known, constant = event.constant(position, parameter)
        is_it = (constant is None) if needs in (NONE, NOT_NONE) else bool(constant)
        return known and is_it != (needs in (NONE, TRUE))

    def _overridden(self, function: Function, one: Type) -> list[Outcome]:
        found = []
        for where, cls in self.project.children(one[3], one[4]):
            index = self.project.cls(where, cls).methods.get(function.name)
            if index is None:
                continue
            made = self.project.function(where, index)
            if not made.is_async and "generator" not in made.traits:
                found.append(Outcome(None, where, index, "likely"))
        if len(found) > _ANY_OF:
            return [more._replace(confidence="hint") for more in found]
        return found

    def _constructor(self, file: int, one: Type, event: Event | None) -> list[Outcome]:
        found = []
        for name in ("__init__", "__post_init__", "__new__"):
            method = self.project.method(one[1], one[2], name)
            if method is not None:
                index = self._as_called(file, ("F", *method), event, 1)
                found.append(Outcome(None, method[0], index))
                if event is not None and name == "__init__":
                    found += self._parameters_called(file, *method, event, 1)
        return found

    def _parameters_called(
        self, file: int, where: int, index: int, event: Event, shift: int
    ) -> list[Outcome]:
        parameters = self.project.function(where, index).parameters
        return [
            found
            for position in self.types.functions.called_parameters(where, index)
            for key in (position - shift, parameters[position].name)
            for found in self._handed(file, event, key, (where, index))
        ]

    def _special_calls(self, file: int, event: Event, names: tuple[str, ...]) -> list[Outcome]:
        """Return what entering or iterating leads to, by the special methods that it calls."""
        value = event.value
        found: list[Outcome] = []
        if value is None:
            return found
        if value[0] == "c":
            for one in self.types.evaluate(file, value[1]):
                found += self._generator(file, one, event)
                if one[0] == "OM" and names is _ENTERING:
                    entry = self.catalogue.cls(one[1])
                    if one[2] in entry.blocking_with:
                        name = f"{entry.shown or entry.path}.{one[2]}"
                        found.append(Outcome(Leaf(entry.kind, name, "certain", entry.source)))
        for one in self.types.evaluate(file, value):
            found += self._special(one, names)
        return found

    def _generator(self, file: int, one: Type, event: Event) -> list[Outcome]:
        """Return the body of a sync generator function, which runs when its result is entered."""
        if one[0] not in ("F", "B"):
            return []
        function = self.project.function(one[1], one[2])
        if "generator" not in function.traits or function.is_async:
            return []
        made = event if event.op == "with" else None
        return [Outcome(None, one[1], self._as_called(file, one, made))]

    def _special(self, one: Type, names: tuple[str, ...]) -> list[Outcome]:
        if one[0] == "O":
            entry = self.catalogue.cls(one[1])
            leaves = (leaf for name in names if (leaf := entry.leaf(name)) is not None)
            return _at(next(leaves, None))
        if one[0] == "X":
            return _at(self.catalogue.function(f"{one[1]}.{names[0]}"))
        if one[0] != "I":
            return []
        methods = (self.project.method(one[1], one[2], name) for name in names)
        return [Outcome(None, *method) for method in methods if method is not None]

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


def ends_executor(leaf: Leaf) -> bool:
    """Return whether a leaf is the end of a `with` on an executor, which waits for its work."""
    return leaf.name.endswith("Executor.__exit__")


def _at(leaf: Leaf | None) -> list[Outcome]:
    return [] if leaf is None else [Outcome(leaf)]


def _given(name: str | None, event: Event | None) -> bool:
    """Whether a call gives its first argument, called `name`; None stands for any."""
    if name is None:
        return True
    if event is None:
        return False
    consts = [value for at, value in event.consts if at in (0, name)]
    return any(consts) or any(at in (0, name) for at, _ in event.args)


def _at_once(event: Event) -> bool:
    """Return whether the call says that it doesn't wait: `acquire(False)`, `get(block=False)`."""
    if any(tail(value) in _NO_WAIT for _, value in event.args):
        return True
    for at, value in event.consts:
        if at in (0, "block", "blocking", "wait") and value is False:
            return True
        if at == "timeout" and value == 0 and value is not False:
            return True
    return False
