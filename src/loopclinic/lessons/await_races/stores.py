"""Counter stores of lesson 09: in memory on the loop's clock, connections to it, and one on Valkey."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from math import inf
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.core.call import now
from loopclinic.lessons.core.shared_findings import Place
from loopclinic.lessons.core.stacks import stands_at

if TYPE_CHECKING:
    from redis.asyncio import Redis

_event, _sleep = asyncio.Event, asyncio.sleep


class MemoryStore:
    """The commands of a store, on the running loop's clock; `Schedule.slow` or a `Link` makes them async."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[str, float]] = {}
        """With the time at which each ends, on the loop's clock."""

    def __repr__(self) -> str:
        return "store"

    def _live(self, key: str) -> tuple[str | None, float]:
        value, end = self._values.get(key, (None, inf))
        return (value, end) if end > now() else (None, inf)

    def get(self, key: str) -> str | None:
        """Return the value, or None."""
        return self._live(key)[0]

    def set(self, key: str, value: object, *, ex: float | None = None, nx: bool = False) -> bool:
        """Set the value and its end; with `nx` only where there is none."""
        if nx and self.get(key) is not None:
            return False
        self._values[key] = str(value), inf if ex is None else now() + ex
        return True

    def incr(self, key: str) -> int:
        """Add one and return the sum; the end stays."""
        value, end = self._live(key)
        number = int(value or 0) + 1
        self._values[key] = str(number), end
        return number

    def expire(self, key: str, seconds: float, *, nx: bool = False) -> bool:
        """Let the value end after so many seconds; with `nx` only if it has no end."""
        value, end = self._live(key)
        if value is None or (nx and end < inf):
            return False
        self._values[key] = value, now() + seconds
        return True

    def ttl(self, key: str) -> float | None:
        """Return the seconds until its end, or None."""
        end = self._live(key)[1]
        return end - now() if end < inf else None

    def delete(self, key: str) -> bool:
        """Remove the value; return whether there was one."""
        there = self.get(key) is not None
        self._values.pop(key, None)
        return there

    def transaction(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run commands as one step and return their results."""
        return [getattr(self, name)(*given, **options) for name, given, options in _read(commands)]

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()


def _read(commands: tuple[tuple[Any, ...], ...]) -> list[tuple[str, tuple[Any, ...], Any]]:
    read = []
    for name, *given in commands:
        options = given.pop() if given and isinstance(given[-1], dict) else {}
        read.append((name, tuple(given), options))
    return read


class Link:
    """A process's connection to a store: each way takes `hop` seconds; it may die after some commands."""

    def __init__(self, store: MemoryStore, hop: float, *, dies_after: int | None = None) -> None:
        self._store, self._hop, self._left = store, hop, dies_after
        self.died: Place | None = None
        """The line of the last command before the process died."""
        self.last = ""
        """Its name."""
        self.over = _event()
        """Set once nobody waits for the dead process any more."""

    def __getattr__(self, name: str) -> Any:
        command = getattr(self._store, name)

        def begun(*args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
            return run(args, options, stands_at(sys._getframe(1)))  # noqa: SLF001 - documented

        async def run(args: Any, options: Any, place: Place | None) -> Any:
            if self._left != 0:
                await _sleep(self._hop)
            if self._left == 0:
                await self.over.wait()
                raise ConnectionError("the process has died")
            result = command(*args, **options)
            if self._left is not None:
                self._left -= 1
                if self._left == 0:
                    self.died, self.last = place or Place("", 0), name
                    await self.over.wait()
                    raise ConnectionError("the process has died")
            await _sleep(self._hop)
            return result

        return begun


class ValkeyStore:
    """The same commands on a Valkey, by a client of redis-py."""

    def __init__(self, client: "Redis") -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        async def run(*given: Any, **options: Any) -> Any:
            method, args, more, read = _sent(name, *given, **options)
            return read(await getattr(self._client, method)(*args, **more))

        return run

    async def transaction(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run commands by MULTI and EXEC and return their results."""
        sent = [_sent(name, *given, **options) for name, given, options in _read(commands)]
        async with self._client.pipeline(transaction=True) as pipe:
            for method, args, more, _ in sent:
                getattr(pipe, method)(*args, **more)
            results = await pipe.execute()
        return [read(one) for (*_, read), one in zip(sent, results, strict=True)]


def _sent(
    name: str, key: str, *given: Any, **options: Any
) -> tuple[str, tuple[Any, ...], dict[str, Any], Callable[[Any], Any]]:
    """Return a command as redis-py has it: method, arguments, options, and how to read its answer."""
    match name:
        case "get":
            return name, (key,), {}, lambda value: value and value.decode()
        case "set":
            ex = options.pop("ex", None)
            px = None if ex is None else round(ex * 1000)
            return name, (key, str(*given)), {"px": px, **options}, bool
        case "expire":
            (seconds,) = given
            return "pexpire", (key, round(seconds * 1000)), options, bool
        case "ttl":
            return "pttl", (key,), {}, lambda left: left / 1000 if left >= 0 else None
        case "incr":
            return name, (key,), {}, int
        case _:
            return "delete", (key,), {}, bool
