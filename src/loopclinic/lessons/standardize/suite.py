"""The learner's tests and the scanner, each run as anybody would, in a process of its own."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from loopclinic.lessons.standardize import LESSON

__all__ = ["scanned", "tested"]

_RUN = "loopclinic.lessons.standardize.suite_run"
_PATIENCE = LESSON.budgets["tests"].limit


async def tested(folder: Path, package: str, report: Path) -> dict[str, Any]:
    """Run the tests in `folder` as they are and on broken services; `report` is a file to write.

    Returns `runs` by name (`status`, `tests`, `failed`, `unawaited`; the name "" is as they are), and
    `hung`, the test that was not over in time, or None.
    """
    ended, said = await _run("-m", _RUN, str(folder), package, str(report), seconds=_PATIENCE)
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
    ended, said = await _run("-m", "loopclinic", "scan", str(folder), *options, seconds=_PATIENCE)
    if ended:
        with contextlib.suppress(ValueError):
            found: dict[str, Any] = json.loads(said)
            return {**found, "failed": None}
    return {"failed": said[-500:] or "nothing was said", "findings": [], "skipped": []}


async def _run(*arguments: str, seconds: float) -> tuple[bool, str]:
    """Run Python, so long at most; return whether it came to its end, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "NO_COLOR": "1"},
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        return False, ""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return True, out.decode("utf-8", "replace")
