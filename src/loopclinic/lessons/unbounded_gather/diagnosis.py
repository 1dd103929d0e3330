"""What else you could have asked about a gather that failed in silence: each is asked, and quoted."""

import asyncio
import inspect
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.unbounded_gather.service import Run, connected
from loopclinic.lessons.unbounded_gather.suspect import POSTS

__all__ = ["diagnose"]

_SUSPECT = "loopclinic.lessons.unbounded_gather.suspect"


class _Finding(NamedTuple):
    ask: str
    how: str
    says: str
    sees: str
    misses: str

    def __str__(self) -> str:
        return f"{self.ask}: {self.says}. Sees: {self.sees}. Misses: {self.misses}."


async def diagnose(function: Callable[..., Any], run: Run) -> Drawing:
    """Ask each tool about `function`, and about its `run`; about three seconds."""
    suspect, lint = await asyncio.gather(_suspect(), _lint(inspect.getsource(function)))
    answered = run.accepted + run.refused + run.reset
    busy = run.seconds
    results = ", ".join(f"{n} x {kind}" for kind, n in suspect["results"])
    slow = [line for line in suspect["said"] if " took " in line]
    findings = [
        _Finding("the caller", "what it got", run.ended, "-", "everything"),
        _Finding(
            "the client's metrics",
            "requests a second",
            f"{answered / busy:,.0f}/s, and no queue",
            "a busy client",
            "that being refused is quick",
        ),
        _Finding("the linter", "ruff check --select ASYNC", lint, "-", "that there is no limit"),
        _Finding(
            "debug mode",
            "python -X dev",
            f"{len(slow)} slow callbacks" if slow else "nothing",
            "that the loop had a lot to do" if slow else "-",
            "what for",
        ),
        _Finding(
            "gather's results",
            f"{POSTS} posts, looked at",
            results,
            "what failed, and why",
            "which post: only its place in the list",
        ),
        _Finding(
            "the service's metrics",
            "by status, and peak in flight",
            f"429: {run.refused:,}, reset: {run.reset:,}, in flight: {run.peak}",
            "all of it",
            "-",
        ),
    ]
    return _table(findings)


async def _suspect() -> dict[str, Any]:
    async with connected() as (upstream, _):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-m", _SUSPECT, upstream.url),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        out, err = await _told(process)
    if process.returncode:
        raise RuntimeError(f"{_SUSPECT} ended with {process.returncode}: {err.decode()[-500:]}")
    found: dict[str, Any] = json.loads(out)
    return found


async def _lint(source: str) -> str:
    """Return what the linter finds in a piece of source."""
    beside = shutil.which("ruff", path=sysconfig.get_path("scripts"))
    ruff = beside or shutil.which("ruff")
    if ruff is None:
        return "not installed here: pip install ruff"
    process = await asyncio.create_subprocess_exec(
        *(
            ruff,
            "check",
            "--isolated",
            "--no-cache",
            "--select",
            "ASYNC",
            "--output-format",
            "json",
        ),
        "-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await _told(process, source.encode())
    return "; ".join(f"{one['code']} {one['message']}" for one in json.loads(out)) or "nothing"


async def _told(
    process: asyncio.subprocess.Process, heard: bytes | None = None
) -> tuple[bytes, bytes]:
    try:
        return await asyncio.wait_for(process.communicate(heard), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _table(findings: list[_Finding]) -> Drawing:
    rows = "".join(
        f"<tr><td><b>{escape(one.ask)}</b><br><span class='lc-muted'>{escape(one.how)}</span></td>"
        f"<td><code>{escape(one.says)}</code></td><td>{_words(one.sees)}</td>"
        f"<td>{_words(one.misses)}</td></tr>"
        for one in findings
    )
    head = "<tr><th>Ask</th><th>It answers</th><th>It sees</th><th>It misses</th></tr>"
    return Drawing(
        f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>", "\n".join(map(str, findings))
    )


def _words(text: str) -> str:
    return "<span class='lc-muted'>&ndash;</span>" if text == "-" else escape(text)
