"""Program that tries what a patch of asyncio allows and breaks; it prints one JSON line.

It imports nothing of the kit, so that any Python runs it: `python patches.py [PATH OF THE PATCH'S MODULE]`.
"""

import asyncio
import importlib.util
import inspect
import json
import sys
import time


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


async def nested() -> str:
    """Call asyncio.run where a loop runs."""
    work = asyncio.sleep(0, "allowed")
    try:
        return asyncio.run(work)
    except RuntimeError as error:
        work.close()
        return said(error)


async def deep(calls: int = 10) -> int:
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

    def call(seconds: float) -> float:
        asyncio.run(asyncio.sleep(seconds))
        return time.perf_counter() - began

    async def task(seconds: float) -> float:
        return call(seconds)

    began = time.perf_counter()
    short, _ = await asyncio.gather(task(0.02), task(0.3))
    return "after the longer one" if short > 0.15 else "at once"


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


async def main(*, patched: bool) -> dict[str, str]:
    """Try everything; what needs the patch only with it."""
    found = {"nested": await nested(), "current": await current(), "deadline": await deadline()}
    if patched:
        found |= {"frames": str(await deep()), "order": await order()}
    return found


if __name__ == "__main__":
    for name in sys.argv[1:]:
        patch(name)
    found = asyncio.run(main(patched=bool(sys.argv[1:])))
    print(json.dumps({"python": sys.version.split()[0], **found}))
