"""Two bridges that lead nowhere: a pool under another loop, and a wait on the loop's own thread."""

import asyncio
import contextlib
import re
from html import escape
from typing import Any

import asyncpg

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.flask_bridge.ladder import record
from loopclinic.probe import Probe, Stall

__all__ = ["own_loop", "two_loops"]

_UPDATE = {"id": "upd-halfway", "message": 1, "status": "sent"}


async def two_loops(dsn: str) -> Drawing:
    """Make a pool under one loop, use it under another, on a thread; quote what is raised."""

    async def make() -> Any:
        return await asyncpg.create_pool(dsn, min_size=1, max_size=1)

    def elsewhere() -> str:
        with asyncio.Runner() as first, asyncio.Runner() as second:
            # What it says in passing, at the end, is no more than what is raised.
            first.get_loop().set_exception_handler(lambda *_: None)
            pool = first.run(make())
            try:
                second.run(record(pool, _UPDATE))
            except Exception as error:
                root = _root(error)
                return f"{type(root).__name__}: {root}"
            finally:
                with contextlib.suppress(Exception):
                    pool.terminate()
                first.run(asyncio.sleep(0.05))
        return "no error"

    said = re.sub(
        r"<Task .*?coro=<(\w+\(\)).*?>(?= got)|<Future .*?>(?= attached)",
        lambda found: f"<Task {found[1]} ...>" if found[1] else "<Future ...>",
        await asyncio.to_thread(elsewhere),
    )
    words = "A pool's connections report to the loop they were made on. Used under a second one, it raises:"
    return Drawing(
        f"<p>{escape(words)}<br><code>{escape(said)}</code></p>",
        f"{words} {said}",
    )


def _root(error: BaseException) -> BaseException:
    """Return the first of a chain of errors: the later ones come of tidying up."""
    while error.__context__ is not None:
        error = error.__context__
    return error


async def own_loop(call: Any) -> Drawing:
    """Call `call()` on the running loop; say how long it stood there, and how that ended."""
    with Probe() as probe:
        try:
            await call()
            said = "no error"
        except Exception as error:
            said = f"{type(error).__name__}: {error}".rstrip(": ")
        await asyncio.sleep(0)
        worst = max(probe.stalls, key=lambda one: one.seconds, default=None)
    return _stuck(worst, said)


def _stuck(worst: Stall | None, said: str) -> Drawing:
    if worst is None:
        return Drawing.note(f"The loop did not stand still: {said}.")
    seen = worst.first_seen
    when = f", named {span(seen)} after it began" if seen is not None else ""
    words = (
        f"The loop stood for {span(worst.seconds)} at {worst.where}{when}: it waited for work that only "
        f"it could do. Without a timeout that would be for good. It ended by {said}."
    )
    return Drawing(
        f"<p>{escape(words)}<br><code>{escape(worst.code or '')}</code></p>",
        f"{words} {worst.code or ''}".rstrip(),
    )
