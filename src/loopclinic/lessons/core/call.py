"""Calls of a lab's own code, as tasks: where each stands, and how it ended."""

import asyncio
import inspect
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from loopclinic.lessons.core.shared_findings import Ending, Place
from loopclinic.lessons.core.stacks import raised_at, related, waits_at

# Kept from before a lab is imported, which may replace them.
_wait, _running_loop = asyncio.wait, asyncio.get_running_loop

_FORCED = 0.3
"""Seconds in which a call that is broken off has to end: a right answer takes milliseconds."""

K = TypeVar("K", bound=Hashable)


def now() -> float:
    """Return the running loop's time, in seconds: virtual where the loop's is."""
    return _running_loop().time()


class BrokenOff(BaseException):
    """Raised inside a call that keeps the loop and would never end."""


async def awaited(begin: Callable[[], Any], what: str) -> Any:
    """Await what `begin()` returns.

    Raises:
        TypeError: it can't be awaited; the message calls it `what`.
    """
    answer = begin()
    if not inspect.isawaitable(answer):
        kind = type(answer).__name__
        raise TypeError(f"{what} must stay async: what it returned, a {kind}, can't be awaited")
    return await answer


class Call:
    """A task that awaits what `begin()` returns; `what` is what errors call it."""

    def __init__(self, begin: Callable[[], Any], what: str = "it") -> None:
        self.began = now()
        self.ended: float | None = None
        self.unfinished = 0
        self.count: Callable[[], int] = int
        """Counts the tasks of the call's making; set by what counts leftovers."""
        self._seen: Place | None = None
        self.task = asyncio.create_task(self._run(begin, what))
        # An error of a call that was broken off is nobody's to see: asyncio need not report it.
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _run(self, begin: Callable[[], Any], what: str) -> Any:
        self.began = now()
        try:
            return await awaited(begin, what)
        finally:
            self.ended = now()
            self.unfinished = self.count()

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self.task.done()

    @property
    def value(self) -> Any:
        """What it returned, or None."""
        task = self.task
        over = task.done() and not task.cancelled() and task.exception() is None
        return task.result() if over else None

    def look(self) -> Place | None:
        """Return the learner's innermost line at which the call waits now, and remember it."""
        place = None if self.done else waits_at(self.task)
        self._seen = place or self._seen
        return place

    def seconds(self, since: float | None = None) -> float:
        """Return how long it took, or has taken so far, from its start or from `since`."""
        return (self.ended or now()) - (self.began if since is None else since)

    def ending(self, *, since: float | None = None) -> Ending:
        """Return how it ended; `seconds` count from its start, or from `since` on the loop's clock."""
        self.look()
        task, seconds, seen = self.task, self.seconds(since), self._seen
        if not task.done():
            return Ending("running", seconds, seen)
        if task.cancelled():
            return Ending("cancelled", seconds, seen, unfinished=self.unfinished)
        error = task.exception()
        if error is None:
            value = self.shown(task.result())
            return Ending("returned", seconds, seen, value=value, unfinished=self.unfinished)
        errors = tuple(related(error))
        if isinstance(error, BrokenOff):
            return Ending("broken-off", seconds, raised_at(error) or seen)
        return Ending(
            "raised",
            seconds,
            raised_at(*errors) or seen,
            message=_in_words(errors),
            error=_names(error),
            related=_names(*errors),
            during=_names(*related(error, contexts=True)),
            unfinished=self.unfinished,
        )

    def shown(self, value: Any) -> str:
        """Return what is said of a value that it returned."""
        try:
            return repr(value)[:200]
        except Exception:
            return f"a {type(value).__name__} whose repr() raises"

    async def within(self, seconds: float) -> Ending:
        """Wait for `seconds` at most and return how it ended; a call that is not over goes on."""
        await _wait([self.task], timeout=seconds)
        return self.ending()

    async def settled(self, cap: float) -> Ending:
        """Wait for `cap` seconds at most, cancel it if it is not over, and return how it ended."""
        return (await Calls({None: self}).settled(cap))[0]

    async def cancelled(self, patience: float) -> Ending:
        """Cancel it, wait `patience` seconds at most, return how it ended; `seconds` count from here."""
        return (await Calls({None: self}).cancelled(patience))[0]


class Calls(dict[K, Call]):
    """Many calls by key; endings come in the order of the keys."""

    def look(self) -> Place | None:
        """Return where the first of them waits that waits in the learner's code."""
        return next((place for call in self.values() if (place := call.look())), None)

    async def settled(self, cap: float) -> list[Ending]:
        """Wait for all of them, `cap` seconds at most, cancel the rest, and return how each ended."""
        await _wait([call.task for call in self.values()], timeout=cap)
        late = {key: call.ending() for key, call in self.items() if not call.done}
        await self.cancelled(_FORCED)
        return [
            replace(late[key], how="broken-off" if call.done else "running")
            if key in late
            else call.ending()
            for key, call in self.items()
        ]

    async def cancelled(self, patience: float) -> list[Ending]:
        """Cancel what still runs, wait for `patience` seconds at most, and return how each ended."""
        since = now()
        running = [call for call in self.values() if not call.done]
        for call in running:
            call.look()
            call.task.cancel()
        if running:
            await _wait([call.task for call in running], timeout=patience)
        return [call.ending(since=since) for call in self.values()]


def _names(*errors: BaseException) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kind.__name__ for one in errors for kind in type(one).__mro__))


def _in_words(errors: Sequence[BaseException]) -> str:
    """Return type and message of the first error that is no group."""
    error = next((one for one in errors if not isinstance(one, BaseExceptionGroup)), errors[0])
    try:
        first = str(error).partition("\n")[0]
    except Exception:
        first = "(its message can't be read)"
    return f"{type(error).__name__}: {first}"[:300] if first else type(error).__name__
