"""Facts about a function from its decorators, its callers and the parameters that it calls."""

from collections.abc import Callable, Iterator

from loopclinic.scanner.facts.fact_records import ONCE, Event, Function
from loopclinic.scanner.facts.values import FINITE, tail, uncalled
from loopclinic.scanner.name_sets import words
from loopclinic.scanner.project import Node, Project, Type, Types, functions_in, joined

OFFLOADING = words(
    "asgiref.sync.sync_to_async asgiref.sync.SyncToAsync channels.db.database_sync_to_async"
    " asyncer.asyncify starlette.concurrency.run_in_threadpool"
    " fastapi.concurrency.run_in_threadpool aiofiles.ospath.wrap aiofiles.os.wrap"
    " huey.api.Huey.task"
)
"""Decorators and wrappers that make an async function of a sync one, run in a thread."""

_RETRIERS = words(
    "tenacity.retry backoff.on_exception backoff.on_predicate retrying.retry retry.retry"
    " stamina.retry retry.api.retry ratelimit.sleep_and_retry ratelimit.decorators.sleep_and_retry"
)
"""Decorators that sleep between the attempts of a sync function."""

_HARMLESS = words("staticmethod classmethod lru_cache cache wraps override")
_FOLLOWED = frozenset("OICZRDT")
"""A function that is handed over is looked at where it is handed over."""
_FAR = 3
"""Handing a parameter on further than that is rare."""


class Functions:
    """Answers by the file and the function."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._called: dict[Node, frozenset[int]] = {}
        self._overloads: dict[int, dict[str, list[int]]] = {}

    def offload(self, file: int, one: Function) -> bool:
        """Return whether a decorator makes the function run in a thread."""
        return any(path in OFFLOADING for path in self._decorators(file, one))

    def retrier(self, file: int, one: Function) -> str | None:
        """Return the import path of a decorator that sleeps between attempts."""
        return next((path for path in self._decorators(file, one) if path in _RETRIERS), None)

    def _decorators(self, file: int, one: Function) -> Iterator[str]:
        """Yield the import paths of its decorators from outside."""
        for decorator in one.decorators:
            for made in self._project.evaluate(file, uncalled(decorator)):
                if made[0] == "X":
                    yield made[1]

    def overloads(self, file: int, function: int) -> list[int]:
        """Return the overloads of a function."""
        if file not in self._overloads:
            found = self._overloads[file] = {}
            for index, one in enumerate(self._project.of(file).functions):
                if one.decorators and "overload" in one.decorator_names:
                    found.setdefault(one.qualname, []).append(index)
        known = self._overloads[file]
        return known.get(self._project.function(file, function).qualname, []) if known else []

    def wrapper(self, file: int, one: Function) -> Node | None:
        """Return the function that a decorator of the project puts in place of this one.

        One that has both forms at hand gives an async function for an async one.
        """
        for decorator in one.decorators:
            for found in functions_in(self._project.evaluate(file, uncalled(decorator))):
                made = self._inner(found)
                if decorator is not None and decorator[0] == "c":
                    made = [more for inner in made for more in self._inner(inner)]
                if made:
                    alike = (
                        it for it in made if self._project.function(*it).is_async == one.is_async
                    )
                    return next(alike, made[0])
        return None

    def _inner(self, outer: Node) -> list[Node]:
        """Return the nested functions that a function returns."""
        inner: list[Node] = []
        for value in self._project.function(*outer).returns:
            for one in value[1] if value is not None and value[0] == "u" else (value,):
                while one is not None and one[0] == "c" and one[2]:
                    one = one[2][0][1]  # noqa: PLW2901 - wraps(fn)(wrapper)
                if one is not None and one[0] == "fn":
                    inner.append((outer[0], one[1]))
        return inner

    def any_unknown(self, file: int, one: Function) -> bool:
        """Return whether a decorator that is not known may have put something awaitable in its place."""
        for decorator in one.decorators:
            if tail(uncalled(decorator)) not in _HARMLESS:
                types = self._project.evaluate(file, uncalled(decorator))
                if not types or types[0][0] in ("X", "OM"):
                    return True
        return False

    def passed(self, file: int, function: int, position: int) -> Types:
        """Return what the project's own callers pass for a parameter."""
        one = self._project.function(file, function)
        shift = 1 if "method" in one.traits and "static" not in one.traits else 0
        names = [one.name] if one.name else []
        if one.name == "__init__" and one.owner is not None:  # by super(), and by any class below
            classes = [(file, one.owner), *self._project.children(file, one.owner)]
            names += dict.fromkeys(self._project.cls(*cls).name for cls in classes)
        if position < shift or "lambda" in one.traits:
            return ()
        places = (position - shift, one.parameters[position].name)
        return joined(
            self._found(name, places, lambda found: self._calls(found, (file, function)))
            for name in names
        )

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
            if values and any(is_it(one) for one in self._project.evaluate(where, event.value)):
                for more in self._project.evaluate(where, values[0]):
                    if more not in found and more[0] in _FOLLOWED:
                        found.append(more)
        return tuple(found[: 4 * FINITE])

    def _calls(self, callee: Type, function: Node) -> bool:
        if callee[0] == "C":
            return self._project.method(callee[1], callee[2], "__init__") == function
        return function in functions_in((callee,))

    def called_parameters(self, file: int, index: int, depth: int = 0) -> frozenset[int]:
        """Return the positions of the parameters that a function calls, or hands to one that does."""
        key = (file, index)
        if key not in self._called:
            self._called[key] = frozenset()  # a function that hands on to itself ends here
            found = set()
            for event in self._project.function(file, index).events:
                if event.op != "call" or event.value is None or event.flags & ONCE:
                    continue
                if event.value[0] == "p" and event.value[1] == index:
                    found.add(event.value[2])
                elif depth < _FAR:
                    found |= self._handed_on(file, index, event, depth)
            self._called[key] = frozenset(found)
        return self._called[key]

    def _handed_on(self, file: int, index: int, event: Event, depth: int) -> set[int]:
        passed = [
            (at, value[2])
            for at, value in event.args
            if value is not None and value[0] == "p" and value[1] == index
        ]
        found: set[int] = set()
        for one in self._project.evaluate(file, event.value) if passed else ():
            if one[0] in ("F", "B"):
                called = self.called_parameters(one[1], one[2], depth + 1)
                names = self._project.function(one[1], one[2]).parameters
                shift = 1 if one[0] == "B" else 0
                by_name = {names[to].name for to in called}
                found |= {
                    position
                    for at, position in passed
                    if (at + shift in called if isinstance(at, int) else at in by_name)
                }
        return found


def calls_wrapped(wrapper: Function) -> bool:
    """Return whether a wrapper calls what it stands for."""
    return any(
        event.op == "call" and event.value is not None and event.value[0] == "p"
        for event in wrapper.events
    )
