"""What else you could have asked about a gather that failed in silence: each is asked, and quoted."""

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.opinions import Opinion, lint, said, suspect, table
from loopclinic.lessons.unbounded_gather.service import Run, connected
from loopclinic.lessons.unbounded_gather.suspect import POSTS

__all__ = ["diagnose"]

_SUSPECT = "loopclinic.lessons.unbounded_gather.suspect"


async def diagnose(function: Callable[..., Any], run: Run) -> Drawing:
    """Ask each tool about `function`, and about its `run`; about three seconds."""
    program, linter = await asyncio.gather(_suspect(), lint(inspect.getsource(function)))
    answered = run.accepted + run.refused + run.reset
    busy = run.seconds
    results = ", ".join(f"{n} x {kind}" for kind, n in program["results"])
    slow = [line for line in program["said"] if " took " in line]
    findings = [
        Opinion("the caller", "what it got", run.ended, "-", "everything"),
        Opinion(
            "the client's metrics",
            "requests a second",
            f"{answered / busy:,.0f}/s, and no queue",
            "a busy client",
            "that being refused is quick",
        ),
        Opinion(
            "the linter", "ruff check --select ASYNC", said(linter), "-", "that there is no limit"
        ),
        Opinion(
            "debug mode",
            "python -X dev",
            f"{len(slow)} slow callbacks" if slow else "nothing",
            "that the loop had a lot to do" if slow else "-",
            "what for",
        ),
        Opinion(
            "gather's results",
            f"{POSTS} posts, looked at",
            results,
            "what failed, and why",
            "which post: only its place in the list",
        ),
        Opinion(
            "the service's metrics",
            "by status, and peak in flight",
            f"429: {run.refused:,}, reset: {run.reset:,}, in flight: {run.peak}",
            "all of it",
            "-",
        ),
    ]
    return table(findings)


async def _suspect() -> dict[str, Any]:
    async with connected() as (upstream, _):
        out, _ = await suspect(_SUSPECT, upstream.url)
    found: dict[str, Any] = json.loads(out)
    return found
