"""A program that hangs, for tools to look at: the lab as shipped, three audits, two connections.

Run as `python -X dev -m loopclinic.lessons.sync_database.suspect`, the database's address on
standard input: debug mode is on, and a stack dump is taken while the loop is stuck. It would never
end, so a thread ends it, and prints one JSON line before.
"""

import asyncio
import faulthandler
import json
import logging
import os
import sys
import threading
import time
from types import ModuleType

from loopclinic.lessons.opinions import load_shipped
from loopclinic.lessons.sync_database import LESSON

DUMP_AFTER = 0.6
ENDS_AFTER = 1.2
"""Seconds, both; the hang begins within the first few hundredths."""


async def _ask(text: str) -> str:
    del text
    await asyncio.sleep(0.1)
    return "no brand in particular"


async def main(lab: ModuleType, dsn: str, audits: list[int]) -> None:
    """Run the audits, as far as they get."""
    async with lab.Audits(dsn, size=2) as service:
        await asyncio.gather(*(service.run(audit, _ask) for audit in audits))


def _end() -> None:
    began, busy = time.perf_counter(), time.process_time()
    time.sleep(ENDS_AFTER)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    print(json.dumps({"seconds": seconds, "cpu": busy / seconds}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stdout)
    order = json.loads(sys.stdin.readline())
    found = load_shipped(LESSON)
    threading.Thread(target=_end, daemon=True).start()
    faulthandler.dump_traceback_later(DUMP_AFTER)
    asyncio.run(main(found, order["dsn"], order["audits"]))
