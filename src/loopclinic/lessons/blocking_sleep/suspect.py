"""A program that blocks its loop, for tools to look at: the lab as shipped, one caller, no network.

Run as `python -X dev -m loopclinic.lessons.blocking_sleep.suspect`: debug mode is on, and a stack
dump is taken while the loop is stuck. Prints one JSON line last.
"""

import asyncio
import faulthandler
import json
import logging
import sys
import time
from types import ModuleType, TracebackType
from typing import Any, Self

import aiohttp

from loopclinic.lessons.blocking_sleep import LESSON
from loopclinic.lessons.opinions import load_shipped

BACKOFF = 0.3
DUMP_AFTER = 0.15
"""Seconds: in the middle of the first wait."""


class _Answer:
    """A request that fails at first, with the connection broken, and then is answered."""

    status = 200
    left = 1

    async def __aenter__(self) -> Self:
        if _Answer.left:
            _Answer.left -= 1
            raise aiohttp.ClientConnectionError("connection reset")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing was opened."""

    async def json(self) -> dict[str, str]:
        """Return what a transcript looks like."""
        return {"text": "amber basin"}


class _Session:
    def post(self, *_: Any, **__: Any) -> _Answer:
        return _Answer()


async def main(lab: ModuleType) -> None:
    """Transcribe one clip, with one retry."""
    faulthandler.dump_traceback_later(DUMP_AFTER)
    began, busy = time.perf_counter(), time.process_time()
    await lab.transcribe(_Session(), b"clip", backoff=BACKOFF)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    faulthandler.cancel_dump_traceback_later()
    print(json.dumps({"seconds": seconds, "cpu": busy / seconds}))


if __name__ == "__main__":
    logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stdout)
    asyncio.run(main(load_shipped(LESSON)))
