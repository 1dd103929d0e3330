"""Program that runs a lab's faulty code in asyncio's debug mode, for other tools to examine.

Run as `python -X dev -m loopclinic.lessons.story.debug_program`; see `other_tools.debug_run`.
"""

import asyncio
import faulthandler
import json
import logging
import os
import pkgutil
import sys
import threading
import time


class _Log(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logged.append(record.getMessage())


def report(value: object = None) -> None:
    """Print what was found, as one JSON line."""
    found = {"value": value, "seconds": time.perf_counter() - began}
    print(json.dumps({**found, "cpu": time.process_time() - busy, "logged": logged}), flush=True)


def end(after: float) -> None:
    """End the program after so many seconds, with its report."""
    time.sleep(after)
    report()
    os._exit(0)


if __name__ == "__main__":
    order = json.loads(sys.stdin.read())
    function = pkgutil.resolve_name(order["function"])
    logged: list[str] = []
    logging.getLogger("asyncio").addHandler(_Log())
    began, busy = time.perf_counter(), time.process_time()
    if order["end_after"] is not None:
        threading.Thread(target=end, args=[order["end_after"]], daemon=True).start()
    if order["dump_after"] is not None:
        faulthandler.dump_traceback_later(order["dump_after"])
    result = asyncio.run(function(**order["given"]))
    faulthandler.cancel_dump_traceback_later()
    report(result)
