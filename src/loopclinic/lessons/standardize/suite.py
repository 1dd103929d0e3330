"""The learner's tests and the scanner, each run as anybody would, in a process of its own."""

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from loopclinic.lessons.programs import ran, started
from loopclinic.lessons.standardize import LESSON

__all__ = ["scanned", "tested"]

_RUN = "loopclinic.lessons.standardize.suite_run"
_PATIENCE = LESSON.budgets["test"].limit
_LONGEST = 60.0
_EVERY = 0.2


async def tested(folder: Path, package: str, report: Path) -> dict[str, Any]:
    """Run the tests in `folder` as they are and on broken services; `report` is a file to write.

    Returns `runs` by name (`status`, `tests`, `failed`, `unawaited`; the name "" is as they are), and
    `hung`, the test that was not over in time, or None.
    """
    command = _python("-m", _RUN, str(folder), package, str(report))
    async with started(command, environ=_environ()) as process:
        talk = asyncio.ensure_future(process.communicate())
        ended = await _while_it_goes_on(talk, process.pid, report)
        if not ended:
            process.kill()
        said = (await talk)[0].decode("utf-8", "replace")
    runs, at = await asyncio.to_thread(_reported, report)
    return {"runs": runs, "hung": None if ended else at, "said": said[-1000:]}


def _reported(report: Path) -> tuple[dict[str, Any], str]:
    """Return the runs that came to their end, and the name of the test that was begun last."""
    runs: dict[str, Any] = {}
    at = ""
    lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    for one in map(json.loads, lines):
        if one["kind"] == "ran":
            runs[one["name"]] = one
        else:
            at = str(one["name"])
    return runs, at


async def scanned(folder: Path) -> dict[str, Any]:
    """Scan `folder` as `loopclinic scan` does; return its JSON, or `failed` with what it said."""
    options = ("--format", "json", "--min-confidence", "likely", "--no-cache", "--jobs", "1")
    command = _python("-m", "loopclinic", "scan", str(folder), *options)
    try:
        _, out, _ = await ran(command, environ=_environ(), patience=_LONGEST)
        said = out.decode()
    except TimeoutError:
        said = ""
    with contextlib.suppress(ValueError):
        found: dict[str, Any] = json.loads(said)
        return {**found, "failed": None}
    return {"failed": said[-500:] or "nothing was said", "findings": [], "skipped": []}


def _environ() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1"}


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-P", *arguments)


async def _while_it_goes_on(talk: "asyncio.Future[Any]", pid: int, report: Path) -> bool:
    """Wait for the end while anything is done; False when nothing was for too long.

    On a busy machine all of it takes long, but a test that waits in vain does nothing at all.
    """
    sign, since = (-1, -1), time.monotonic()
    while not talk.done():
        now = await asyncio.to_thread(_sign_of_life, pid, report)
        if now != sign:
            sign, since = now, time.monotonic()
        elif time.monotonic() - since > _PATIENCE:
            return False
        await asyncio.wait([talk], timeout=_EVERY)
    return True


def _sign_of_life(pid: int, report: Path) -> tuple[int, int]:
    """Return what has been reported, in bytes, and what was computed, in tenths of a second."""
    size = report.stat().st_size if report.exists() else 0
    try:
        spent = psutil.Process(pid).cpu_times()
    except psutil.Error:  # it has just ended
        return size, -1
    return size, int(10 * (spent.user + spent.system))
