"""What `nest_asyncio.apply()` and its successor allow, cost, hide and break, in processes of their own.

Run as `python -m loopclinic.lessons.flask_bridge.patched [MODULE]`, it prints one JSON line.
"""

import asyncio
import importlib
import json
import logging
import sys
import time
from html import escape
from platform import python_version
from statistics import median
from typing import Any

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.opinions import suspect

__all__ = ["patched"]

_MODULE = "loopclinic.lessons.flask_bridge.patched"
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
            found.append(await _run(*filter(None, [name])))
    return _table(runs)


def _table(runs: Runs) -> Drawing:
    """Draw a row for each thing tried, a column for each way to run it."""
    rows = [
        ("It allows", "run_until_complete on a running loop", _each(runs, "nested")),
        ("It costs", f"{2 * _SWITCHES:,} switches between two tasks", _costs(runs)),
        ("It hides", f"debug mode, a callback that takes {span(_SLOW)}", _each(runs, "warned")),
    ]
    # What breaks depends on the Python: the first patch was written before 3.14.
    for what, field in (
        ("a counter read before and written after a call that nests", "counted"),
        ("asyncio.current_task() in a task", "current"),
        ("asyncio.timeout() around a call that takes too long", "timeout"),
    ):
        rows.append(("It breaks" if _broken(runs, field) else "It keeps", what, _each(runs, field)))
    body = "".join(
        f"<tr><td><b>{escape(kind)}</b></td><td>{escape(what)}</td>"
        + "".join(f"<td><code>{escape(one)}</code></td>" for one in found)
        + "</tr>"
        for kind, what, found in rows
    )
    names = "".join(f"<th>After {name}.apply()</th>" for name in _PATCHES)
    head = f"<tr><th></th><th>Tried</th><th>Plain</th>{names}</tr>"
    text = "\n".join(
        f"{kind}, {what}: "
        + "; ".join(f"{name or 'plain'}: {one}" for name, one in zip(runs, found, strict=True))
        for kind, what, found in rows
    )
    table = Drawing(f"<table><thead>{head}</thead><tbody>{body}</tbody></table>", text)
    return table + Drawing.note(
        f"On this Python {python_version()}, tasks and deadlines break under "
        f"{_broken(runs, 'current', 'timeout') or 'neither'}, the counter under "
        f"{_broken(runs, 'counted') or 'neither'}."
    )


def _each(runs: Runs, field: str) -> list[str]:
    """Return what the first run of each way found."""
    return [found[0][field] for found in runs.values()]


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


async def _run(*arguments: str) -> Found:
    out, _ = await suspect(_MODULE, *arguments, dev=False)
    found: Found = json.loads(out)
    return found


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
