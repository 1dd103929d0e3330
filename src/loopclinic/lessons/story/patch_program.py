"""Program that tries what a patch of asyncio allows, costs and breaks; it prints one JSON line.

It imports nothing of the kit, so that any Python runs it, as `asyncio_patches` does:
`python patch_program.py PATH_OF_THE_PATCH EXPERIMENT...`, with an empty path for plain asyncio.
"""

import asyncio
import importlib.util
import inspect
import json
import logging
import sys
import time
from typing import Any

SWITCHES = 20_000
SLOW = 0.25


def patch(path: str) -> None:
    """Import the patch from its file, and apply it."""
    spec = importlib.util.spec_from_file_location("patch", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.apply()


def said(error: BaseException) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {error}"


def _nested(run: Any) -> str:
    work = asyncio.sleep(0.01, "allowed")
    try:
        return str(run(work))
    except RuntimeError as error:
        work.close()
        return said(error)


async def nested_run() -> str:
    """Call asyncio.run where a loop runs."""
    return _nested(asyncio.run)


async def nested_until() -> str:
    """Call run_until_complete on the running loop."""
    return _nested(asyncio.get_running_loop().run_until_complete)


async def frames(calls: int = 10) -> int:
    """Return how many frames such calls, one inside the other, add to the stack."""
    before, most = len(inspect.stack(0)), 0

    async def work(left: int) -> None:
        nonlocal most
        most = max(most, len(inspect.stack(0)))
        if left:
            asyncio.run(work(left - 1))

    await work(calls)
    return most - before


async def order() -> str:
    """Return when a call of 20 ms is over that another one, of 300 ms, came after."""

    async def task(seconds: float) -> float:
        asyncio.run(asyncio.sleep(seconds))
        return time.perf_counter() - began

    began = time.perf_counter()
    short, _ = await asyncio.gather(task(0.02), task(0.3))
    return "after the longer one" if short > 0.15 else "at once"


async def seconds() -> float:
    """Return the seconds of processor that two tasks take to switch turns."""

    async def turn() -> None:
        for _ in range(SWITCHES):
            await asyncio.sleep(0)

    began = time.process_time()  # of the processor: others on the machine don't count
    await asyncio.gather(turn(), turn())
    return time.process_time() - began


async def counted() -> str:
    """Let ten tasks count; nothing between read and write awaits, so none can come between."""
    count = 0

    async def one() -> None:
        nonlocal count
        seen = count
        await nested_until()  # a plain call, by the look of it
        count = seen + 1

    await asyncio.gather(*(one() for _ in range(10)))
    return f"10 tasks counted to {count}"


async def warned() -> str:
    """Return what debug mode says of a callback that takes SLOW seconds."""
    loop, warnings, handler = asyncio.get_running_loop(), list[str](), logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("asyncio").addHandler(handler)
    loop.set_debug(True)
    loop.call_soon(time.sleep, SLOW)
    await asyncio.sleep(SLOW * 1.5)
    loop.set_debug(False)
    took = (one.rpartition("took ")[2] for one in warnings if "took" in one)
    return next((f"...took {one}" for one in took), "nothing: no warning")


async def current() -> str:
    """Return what asyncio.current_task() is in a task."""
    return "None" if asyncio.current_task() is None else "the task"


async def deadline() -> str:
    """Return what asyncio.timeout() does."""
    try:
        async with asyncio.timeout(0.02):
            await asyncio.sleep(1)
    except TimeoutError:
        return "ends in time"
    except RuntimeError as error:
        return said(error)
    return "does not end"


async def main(*names: str) -> dict[str, object]:
    """Try each of these experiments, and return what came of it by its name."""
    return {name: await globals()[name]() for name in names}


if __name__ == "__main__":
    if sys.argv[1]:
        patch(sys.argv[1])
    found = asyncio.run(main(*sys.argv[2:]))
    print(json.dumps({"python": sys.version.split()[0], **found}))
