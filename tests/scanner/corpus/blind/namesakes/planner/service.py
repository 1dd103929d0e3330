import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from planner import requests, time
from planner.time import Redis

log = logging.getLogger(__name__)


class Execution:
    """Runs a plan step by step; the names are those of a database cursor."""

    def __init__(self) -> None:
        self.steps: deque[str] = deque()

    def execute(self, step: str) -> None:
        self.steps.append(step)

    def fetchall(self) -> list[str]:
        return list(self.steps)

    def commit(self) -> None:
        self.steps.clear()

    def connect(self, other: "Execution") -> None:
        self.steps.extend(other.steps)


async def plan(book: requests.Book) -> float:
    book.post("ann")  # clean: a list
    first = book.get(0)  # clean: a list
    log.info("asked: %s %s", first, requests.get(book))  # clean: the project's own module
    return time.sleep(8)  # clean: the project's own module


async def react() -> str:
    redis = Redis(3)
    return redis.get("Fe")  # clean: a class of that name, nothing more


async def run(steps: Iterable[str]) -> list[str]:
    execution = Execution()
    for step in steps:
        execution.execute(step)  # clean: a deque
    done = execution.fetchall()  # clean: a deque
    execution.commit()  # clean: a deque
    return done


async def shadowed(open: Callable[[str], str], input: dict[str, str]) -> str:
    name = input["name"]  # clean: a parameter of that name
    return open(name)  # clean: a parameter of that name


async def unknown(client: Any, path: str) -> Any:
    return client.get(path)  # clean: nobody knows what it is


async def joined(parts: list[str], sep: str) -> str:
    return sep.join(parts)  # clean: a string


async def local(sleep: Callable[[float], Any]) -> None:
    await sleep(0.1)  # clean: whatever was passed in
    await asyncio.sleep(0)  # clean: yields once


async def results(tasks: list[asyncio.Task[int]]) -> list[int]:
    done, _ = await asyncio.wait(tasks, timeout=5)
    return [one.result() for one in done]  # clean: finished tasks


async def nested() -> Callable[[], None]:
    import time as clock

    def later() -> None:
        clock.sleep(1)  # clean: only defined here, run by whoever gets it

    return later
