"""Measures what `nest_asyncio` and `nest_asyncio2` allow, cost and break, in separate processes.

Run as `python -m loopclinic.lessons.flask_bridge.patched_asyncio [MODULE]`, it prints one JSON line.
"""

import asyncio
import importlib
import json
import logging
import sys
import time
from platform import python_version
from statistics import median
from typing import Any

from loopclinic.drawing.tables import Drawing, bold, code, span, table
from loopclinic.lessons.story.other_tools import program

_MODULE = "loopclinic.lessons.flask_bridge.patched_asyncio"
_PATCHES = ("nest_asyncio", "nest_asyncio2")
_SWITCHES = 20_000
_SLOW = 0.25
_DEADLINE = 0.02
_ROUNDS = 3

Found = dict[str, Any]
Runs = dict[str, list[Found]]


async def patched(rounds: int = _ROUNDS) -> Drawing:
    """Run the same program plain and under either patch, in turns; about six seconds."""
    runs: Runs = {name: [] for name in ("", *_PATCHES)}
    for _ in range(rounds):
        for name, found in runs.items():
            out, _ = await program(_MODULE, *filter(None, [name]))
            found.append(json.loads(out))
    return _table(runs)


def _table(runs: Runs) -> Drawing:
    """Draw a row for each thing tried, a column for each way to run it."""

    def each(field: str) -> list[str]:
        return [found[0][field] for found in runs.values()]

    rows = [
        ("It allows", "run_until_complete on a running loop", each("nested")),
        ("It costs", f"{2 * _SWITCHES:,} switches between two tasks", _costs(runs)),
        ("It hides", f"debug mode, a callback that takes {span(_SLOW)}", each("warned")),
    ]
    # What breaks depends on the Python: the first patch was written before 3.14.
    for what, field in (
        ("a counter read before and written after a call that nests", "counted"),
        ("asyncio.current_task() in a task", "current"),
        ("asyncio.timeout() around a call that takes too long", "timeout"),
    ):
        rows.append(("It breaks" if _broken(runs, field) else "It keeps", what, each(field)))
    both, counter = _broken(runs, "current", "timeout"), _broken(runs, "counted")
    return table(
        ["", "Plain", *(f"After {name}.apply()" for name in _PATCHES)],
        [[bold(f"{kind}: ") + what, *map(code, found)] for kind, what, found in rows],
        sentence=f"On Python {python_version()}, tasks and deadlines break under "
        f"{both or 'neither'}, the counter under {counter or 'neither'}.",
    )


def _costs(runs: Runs) -> list[str]:
    """Return the median seconds of each way, and what share of the plain ones they are."""
    plain = runs[""]
    said = [span(median(one["seconds"] for one in found)) for found in runs.values()]
    for at, name in enumerate(_PATCHES, start=1):
        pairs = zip(plain, runs[name], strict=True)
        ratio = median(other["seconds"] / one["seconds"] for one, other in pairs)
        said[at] += f": {ratio:.2f} times as long"
    return said


def _broken(runs: Runs, *fields: str) -> str:
    """Return the names of the patches under which one of these came out otherwise."""
    plain = runs[""][0]
    return " and ".join(
        name for name in _PATCHES if any(runs[name][0][field] != plain[field] for field in fields)
    )


async def _answer() -> str:
    await asyncio.sleep(0.01)
    return "an answer"


def _nested(loop: asyncio.AbstractEventLoop) -> str:
    work = _answer()
    try:
        return loop.run_until_complete(work)
    except RuntimeError as error:
        work.close()
        return f"{type(error).__name__}: {error}"


async def _switches() -> float:
    async def turn() -> None:
        for _ in range(_SWITCHES):
            await asyncio.sleep(0)

    began = time.process_time()  # of the processor: others on the machine don't count
    await asyncio.gather(turn(), turn())
    return time.process_time() - began


async def _counted(loop: asyncio.AbstractEventLoop) -> str:
    """Two tasks count; nothing between read and write awaits, so none can come between."""
    count = 0

    async def one() -> None:
        nonlocal count
        seen = count
        _nested(loop)  # a plain call, by the look of it
        count = seen + 1

    await asyncio.gather(*(one() for _ in range(10)))
    return f"10 tasks counted to {count}"


async def _timeout() -> str:
    try:
        async with asyncio.timeout(_DEADLINE):
            await asyncio.sleep(100 * _DEADLINE)
    except TimeoutError:
        return "ended in time"
    except RuntimeError as error:
        return f"{type(error).__name__}: {error}"
    return "not ended"


async def _trial() -> Found:
    loop = asyncio.get_running_loop()
    nested = _nested(loop)
    seconds = await _switches()
    counted = await _counted(loop)
    warnings: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("asyncio").addHandler(handler)
    loop.set_debug(enabled=True)
    loop.call_soon(time.sleep, _SLOW)
    await asyncio.sleep(_SLOW * 1.5)
    loop.set_debug(enabled=False)
    warned = next((one for one in warnings if "took" in one), "")
    took = f"...took {warned.rpartition('took ')[2]}" if warned else "nothing: no warning"
    return {
        "nested": nested,
        "seconds": seconds,
        "warned": took,
        "counted": counted,
        "current": "None" if asyncio.current_task() is None else "the task",
        "timeout": await _timeout(),
    }


def main() -> None:
    """Run the program, under the patch that the command line names, and print what was found."""
    for name in sys.argv[1:]:
        importlib.import_module(name).apply()
    print(json.dumps(asyncio.run(_trial())))


if __name__ == "__main__":
    main()
