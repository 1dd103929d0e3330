"""What decorators put in a function's place: a thread, a retry, a wrapper of the project."""

from collections.abc import Callable, Iterator

from loopclinic.scanner.facts.record import Function
from loopclinic.scanner.facts.values import Value, tail, uncalled
from loopclinic.scanner.project import Project, Type, Types
from loopclinic.scanner.words import words

__all__ = ["OFFLOADING", "Decorators"]

OFFLOADING = words(
    "asgiref.sync.sync_to_async asgiref.sync.SyncToAsync channels.db.database_sync_to_async"
    " asyncer.asyncify starlette.concurrency.run_in_threadpool"
    " fastapi.concurrency.run_in_threadpool aiofiles.ospath.wrap aiofiles.os.wrap"
    " huey.api.Huey.task"
)
"""Decorators and wrappers that make an async function of a sync one, run in a thread."""

_RETRIERS = words(
    "tenacity.retry backoff.on_exception backoff.on_predicate retrying.retry retry.retry"
    " stamina.retry retry.api.retry"
)
"""Decorators that sleep between the attempts of a sync function."""

_KEEPERS = words("functools.cache functools.lru_cache")
_HARMLESS = words("staticmethod classmethod lru_cache cache wraps override")


class Decorators:
    """Answers by the file and the function that is decorated."""

    def __init__(self, project: Project, evaluate: Callable[[int, Value], Types]) -> None:
        self._project = project
        self._evaluate = evaluate

    def offload(self, file: int, one: Function) -> bool:
        """Whether one of them makes the function run in a thread."""
        return any(made[0] == "X" and made[1] in OFFLOADING for made in self._types(file, one))

    def retrier(self, file: int, one: Function) -> str | None:
        """Return the import path of one that sleeps between attempts."""
        paths = (made[1] for made in self._types(file, one) if made[0] == "X")
        return next((path for path in paths if path in _RETRIERS), None)

    def keeps_result(self, file: int, one: Function) -> bool:
        """Whether the function runs once: its result is kept, and it has no parameters."""
        return not one.parameters and any(
            made[0] == "X" and made[1] in _KEEPERS for made in self._types(file, one)
        )

    def wrapper(self, file: int, one: Function) -> tuple[int, int] | None:
        """Return the function that one of the project's puts in place of this one."""
        for decorator in one.decorators:
            for found in self._evaluate(file, uncalled(decorator)):
                if found[0] not in ("F", "B"):
                    continue
                made = self._inner(found[1], found[2])
                if made is not None and decorator is not None and decorator[0] == "c":
                    made = self._inner(*made)
                if made is not None:
                    return made
        return None

    def calls_wrapped(self, wrapper: Function) -> bool:
        """Whether a wrapper calls what it stands for."""
        return any(
            event.op == "call" and event.value is not None and event.value[0] == "p"
            for event in wrapper.events
        )

    def any_unknown(self, file: int, one: Function) -> bool:
        """Whether one that is not known may have put something awaitable in its place."""
        for decorator in one.decorators:
            if tail(uncalled(decorator)) not in _HARMLESS:
                types = self._evaluate(file, uncalled(decorator))
                if not types or types[0][0] in ("X", "OM"):
                    return True
        return False

    def _types(self, file: int, one: Function) -> Iterator[Type]:
        for decorator in one.decorators:
            yield from self._evaluate(file, uncalled(decorator))

    def _inner(self, file: int, function: int) -> tuple[int, int] | None:
        """Return the nested function that a function returns."""
        outer = self._project.function(file, function)
        for value in outer.returns:
            for one in value[1] if value is not None and value[0] == "u" else (value,):
                while one is not None and one[0] == "c" and one[2]:
                    one = one[2][0][1]  # noqa: PLW2901 - wraps(fn)(wrapper)
                if one is not None and one[0] == "fn":
                    return (file, one[1])
        return None
