"""Which of its arguments a function calls: the library's by name, the project's as they are read."""

from collections.abc import Callable

from loopclinic.scanner.facts.record import Event
from loopclinic.scanner.facts.values import Value
from loopclinic.scanner.project import Project, Types

__all__ = ["ASKING", "CALLBACKS", "CALLING", "ON_LOOP", "CalledParameters"]

CALLING: dict[str, tuple[int | str, ...]] = {
    "builtins.map": (0,),
    "builtins.filter": (0,),
    "functools.reduce": (0,),
    "builtins.sorted": ("key",),
    "builtins.min": ("key",),
    "builtins.max": ("key",),
}
"""Functions that call an argument at once."""

ASKING = {
    **dict.fromkeys(
        ("builtins.list", "builtins.sorted", "builtins.sum", "builtins.set"), "__iter__"
    ),
    "builtins.len": "__len__",
    "builtins.str": "__str__",
    "builtins.bool": "__bool__",
    "builtins.next": "__next__",
}
"""Functions that call a special method of their argument."""

CALLBACKS = {
    "call_soon": 0,
    "call_soon_threadsafe": 0,
    "call_later": 1,
    "call_at": 1,
    "add_done_callback": 0,
    "add_reader": 1,
    "add_writer": 1,
    "add_signal_handler": 1,
}
"""Methods of loops, tasks and futures whose argument runs on the loop later."""

ON_LOOP = frozenset({"asyncio.AbstractEventLoop", "asyncio.Task", "asyncio.Future"})

_FAR = 3
"""Handing on further than that is rare."""


class CalledParameters:
    """Answers once for each function of the project, which calls them itself or hands them on."""

    def __init__(self, project: Project, evaluate: Callable[[int, Value], Types]) -> None:
        self._project = project
        self._evaluate = evaluate
        self._known: dict[tuple[int, int], frozenset[int]] = {}

    def of(self, file: int, index: int, depth: int = 0) -> frozenset[int]:
        """Return the positions of the parameters that a function calls."""
        key = (file, index)
        if key in self._known:
            return self._known[key]
        self._known[key] = frozenset()
        found = set()
        for event in self._project.function(file, index).events:
            if event.op != "call" or event.value is None:
                continue
            if event.value[0] == "p" and event.value[1] == index:
                found.add(event.value[2])
            elif depth < _FAR:
                found |= self._handed_on(file, index, event, depth)
        self._known[key] = frozenset(found)
        return self._known[key]

    def _handed_on(self, file: int, index: int, event: Event, depth: int) -> set[int]:
        passed = [
            (at, value[2])
            for at, value in event.args
            if value is not None and value[0] == "p" and value[1] == index
        ]
        found: set[int] = set()
        for one in self._evaluate(file, event.value) if passed else ():
            if one[0] in ("F", "B"):
                called = self.of(one[1], one[2], depth + 1)
                names = self._project.function(one[1], one[2]).parameters
                shift = 1 if one[0] == "B" else 0
                for at, position in passed:
                    if isinstance(at, int):
                        found |= {position} if at + shift in called else set()
                    elif any(names[to].name == at for to in called):
                        found.add(position)
        return found
