"""What `nest_asyncio.apply()` makes possible, costs and hides, in processes of its own.

Run as `python -m loopclinic.lessons.flask_bridge.patched [patched]`, it prints one JSON line.
"""

import asyncio
import json
import logging
import sys
import time
from html import escape
from statistics import median
from typing import Any

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.opinions import suspect

__all__ = ["patched"]

_MODULE = "loopclinic.lessons.flask_bridge.patched"
_SWITCHES = 20_000
_SLOW = 0.25
_ROUNDS = 3


async def patched(rounds: int = _ROUNDS) -> Drawing:
    """Run the same program plain and patched, in turns; about three seconds."""
    plain: list[dict[str, Any]] = []
    other: list[dict[str, Any]] = []
    for _ in range(rounds):
        plain.append(await _run())
        other.append(await _run("patched"))
    ratio = median(b["seconds"] / a["seconds"] for a, b in zip(plain, other, strict=True))
    rows = [
        (
            "It makes possible",
            "run_until_complete on a running loop",
            plain[0]["nested"],
            other[0]["nested"],
        ),
        (
            "It costs",
            f"{2 * _SWITCHES:,} switches between two tasks",
            span(median(one["seconds"] for one in plain)),
            f"{span(median(one['seconds'] for one in other))}: {ratio:.2f} times as long",
        ),
        (
            "It hides",
            f"debug mode, a callback that takes {span(_SLOW)}",
            plain[0]["warned"] or "nothing",
            other[0]["warned"] or "nothing: the warning is gone",
        ),
        (
            "It breaks",
            "a counter read before and written after a call that nests",
            plain[0]["counted"],
            other[0]["counted"],
        ),
    ]
    body = "".join(
        f"<tr><td><b>{escape(kind)}</b></td><td>{escape(what)}</td><td><code>{escape(before)}</code></td>"
        f"<td><code>{escape(after)}</code></td></tr>"
        for kind, what, before, after in rows
    )
    head = "<tr><th></th><th>Tried</th><th>Plain</th><th>After nest_asyncio.apply()</th></tr>"
    text = "\n".join(
        f"{kind}, {what}: plain {before}; patched {after}." for kind, what, before, after in rows
    )
    return Drawing(f"<table><thead>{head}</thead><tbody>{body}</tbody></table>", text)


async def _run(*arguments: str) -> dict[str, Any]:
    out, _ = await suspect(_MODULE, *arguments, dev=False)
    found: dict[str, Any] = json.loads(out)
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


async def _trial() -> dict[str, Any]:
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
    took = f"...took {warned.rpartition('took ')[2]}" if warned else ""
    return {"nested": nested, "seconds": seconds, "warned": took, "counted": counted}


def main() -> None:
    """Run the program, patched if told so, and print what was found."""
    if "patched" in sys.argv[1:]:
        import nest_asyncio  # noqa: PLC0415 - in this process only, which ends soon

        nest_asyncio.apply()
    print(json.dumps(asyncio.run(_trial())))


if __name__ == "__main__":
    main()
