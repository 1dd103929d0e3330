"""The computations of lesson 08 and six places to run them ("rungs"), from the loop to interpreters."""

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from concurrent import futures
from functools import cached_property
from multiprocessing import get_context
from typing import Any, Self

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""That this process may use."""
COMMON = [f"{word}{number}" for number in range(90) for word in ("letmein", "dragon", "monkey")]
_COST = 8
_INTERPRETERS = "InterpreterPoolExecutor"
"""Of `concurrent.futures`, from Python 3.14 on."""
_SLICE = 20
"""Words between two awaits of `sliced`: some milliseconds."""
COSTS = {
    "on_loop": "everybody waits for every password",
    "to_threads": "Python still takes turns with the loop; a storm fills the default executor",
    "sliced": "one core, and an await in the middle of every algorithm",
    "processes": "the start of a process each, and a copy of what is sent",
    "by_gil": "two pools: processes for Python, threads for what releases the GIL",
    "interpreters": "Python 3.14; not for bcrypt, which can't be imported there",
}
"""What each rung costs, in words."""


def hashed(password: str) -> bytes:
    """Return the hash of a password: C code that releases the GIL."""
    import bcrypt  # no other interpreter can import it, and `strength` is computed there

    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(_COST))


def distances(password: str) -> Iterator[int]:
    """Yield how many edits away a password is from each common one: pure Python."""
    for word in COMMON:
        row = [*range(len(word) + 1)]
        for n, letter in enumerate(password, 1):
            before, row[0] = row[0], n
            for m, other in enumerate(word, 1):
                least = min(row[m] + 1, row[m - 1] + 1, before + (letter != other))
                before, row[m] = row[m], least
        yield row[-1]


def strength(password: str) -> int:
    """Return how many edits away the next common password is: pure Python, which keeps the GIL."""
    return min(distances(password))


def matches_letters(letters: int) -> bool:
    """Match a pattern that backtracks: one call in C that keeps the GIL, twice as long for each letter."""
    return re.fullmatch("(a+)+", "a" * letters + "!") is not None


class Pools:
    """Pools with a worker for each core, started when first used and ended with the block."""

    threads = cached_property(lambda _: futures.ThreadPoolExecutor(CORES))
    processes = cached_property(
        lambda _: futures.ProcessPoolExecutor(CORES, mp_context=get_context("spawn"))
    )
    interpreters = cached_property(lambda _: getattr(futures, _INTERPRETERS)(CORES))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for pool in vars(self).values():
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)


async def _in(pool: futures.Executor, work: Callable[..., Any], *values: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, work, *values)


async def on_loop(_: Pools, work: Callable[..., Any], *values: Any) -> Any:
    """Compute where you are: the anti-pattern."""
    return work(*values)


async def to_threads(_: Pools, work: Callable[..., Any], *values: Any) -> Any:
    """Compute in the default executor: rung 1, and a cure for bcrypt alone."""
    return await asyncio.to_thread(work, *values)


async def sliced(pools: Pools, work: Callable[..., Any], *values: Any) -> Any:
    """Compute Python on the loop, in slices: rung 2."""
    if work is not strength:
        return await _in(pools.threads, work, *values)
    nearest = len(values[0])
    for number, distance in enumerate(distances(*values)):
        nearest = min(nearest, distance)
        if number % _SLICE == 0:
            await asyncio.sleep(0)
    return nearest


async def processes(pools: Pools, work: Callable[..., Any], *values: Any) -> Any:
    """Compute in as many processes as there are cores: rung 3."""
    return await _in(pools.processes, work, *values)


async def by_gil(pools: Pools, work: Callable[..., Any], *values: Any) -> Any:
    """Compute Python in processes, and in threads what releases the GIL: rung 4."""
    return await _in(pools.threads if work is hashed else pools.processes, work, *values)


async def interpreters(pools: Pools, work: Callable[..., Any], *values: Any) -> Any:
    """Compute Python in interpreters with a GIL each, in threads of this process: Python 3.14."""
    return await _in(pools.threads if work is hashed else pools.interpreters, work, *values)


HERE = [interpreters] if hasattr(futures, _INTERPRETERS) else []
"""The rung that this Python has besides: none before 3.14."""
