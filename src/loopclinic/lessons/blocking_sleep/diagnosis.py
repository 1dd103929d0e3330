"""What other tools say about a retry that sleeps on the loop: each is run, and quoted."""

import asyncio
import inspect
import json
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Callable
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from loopclinic.lessons.blocking_sleep import LESSON
from loopclinic.lessons.drawing import Drawing, span
from loopclinic.probe import Stall

__all__ = ["diagnose"]

_SUSPECT = "loopclinic.lessons.blocking_sleep.suspect"


class _Finding(NamedTuple):
    tool: str
    how: str
    says: str
    sees: str
    misses: str


async def diagnose(function: Callable[..., Any], stall: Stall | None = None) -> Drawing:
    """Run each tool on the lab as shipped, and the linter on `function` too; quote what they say.

    `stall` is one that the scope saw, for the last line. Takes about two seconds.
    """
    lab = LESSON.shipped
    assert lab is not None
    suspect, cell, file = await asyncio.gather(
        _suspect(),
        _lint(inspect.getsource(function), imports=_imports(function)),
        _lint(lab.read_text(encoding="utf-8")),
    )
    findings = [
        *suspect,
        _Finding(
            "ruff, your cell", "ruff check --select ASYNC", cell, "a direct call, at once", "-"
        ),
        _Finding(
            "ruff, the lab file",
            "ruff check --select ASYNC",
            file,
            "-",
            "the same sleep, one ordinary function deeper",
        ),
    ]
    if stall is not None:
        says = f"{stall.where}  {stall.code or ''}".rstrip()
        seen = "the line, while it lasts"
        if stall.first_seen is not None:
            seen += f": after {span(stall.first_seen)}"
        findings.append(_Finding("the scope", "loopclinic.Scope()", says, seen, "what did not run"))
    return _table(findings)


async def _suspect() -> list[_Finding]:
    """Run the lab as shipped, in debug mode, and read what was said meanwhile."""
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-m", _SUSPECT),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said, dump = out.decode(), err.decode()
    if process.returncode:
        raise RuntimeError(f"{_SUSPECT} ended with status {process.returncode}: {dump[-500:]}")
    facts = next(json.loads(line) for line in said.splitlines() if line.startswith("{"))
    slow = next((line for line in said.splitlines() if line.startswith("asyncio: Exec")), "")
    frame = re.search(r'File "([^"]+)", line (\d+) in (\w+)', dump)
    place = f"{Path(frame[1]).name}:{frame[2]} in {frame[3]}" if frame else "no frame"
    return [
        _Finding(
            "a CPU graph",
            "time.process_time()",
            f"{facts['cpu']:.1%} of a core, for {span(facts['seconds'])}",
            "an idle service",
            "that nobody was served",
        ),
        _Finding(
            "debug mode",
            "python -X dev",
            _shortened(slow),
            "the task, and how long",
            "the line; it speaks afterwards",
        ),
        _Finding(
            "a stack dump",
            "faulthandler",
            place,
            "the line",
            "a stall that is over when you ask",
        ),
    ]


def _imports(function: Callable[..., Any]) -> str:
    """Return one line that imports the modules which a function takes from its globals."""
    known = ((name, function.__globals__.get(name)) for name in function.__code__.co_names)
    modules = [
        f"import {one.__name__} as {name}" for name, one in known if isinstance(one, ModuleType)
    ]
    return "; ".join(modules) or "pass"


async def _lint(source: str, *, imports: str = "") -> str:
    """Return the linter's findings on a piece of source, one a line; `imports` goes before it."""
    above = 1 if imports else 0
    source = f"{imports}\n{source}" if imports else source
    ruff = _ruff()
    if ruff is None:
        return "not installed here: pip install ruff"
    options = ("check", "--isolated", "--no-cache", "--select", "ASYNC", "--output-format", "json")
    process = await asyncio.create_subprocess_exec(
        *(ruff, *options, "-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(source.encode()), 30)
    found = json.loads(out or b"[]")
    lines = [
        f"line {one['location']['row'] - above}: {one['code']} {one['message']}" for one in found
    ]
    if not any(one["code"] == "ASYNC251" for one in found):
        lines.append("and nothing about a sleep" if lines else "nothing")
    return "\n".join(lines)


def _ruff() -> str | None:
    beside = shutil.which("ruff", path=sysconfig.get_path("scripts"))
    return beside or shutil.which("ruff")


def _shortened(message: str) -> str:
    """Leave out of debug mode's sentence what only says where Python itself lies."""
    message = re.sub(r"^asyncio: ", "", message)
    message = re.sub(r" (?:created|defined) at [^>]*?(?=[>\s]\S*(?: took|$)|> took)", "", message)
    return re.sub(
        r"<Task (?:finished|pending) name='([^']+)' coro=<(\w+\(\))[^>]*>.*?> took",
        r"<Task '\1' \2 …> took",
        message,
    )


def _table(findings: list[_Finding]) -> Drawing:
    rows, texts = [], []
    for one in findings:
        says = "<br>".join(escape(line) for line in one.says.splitlines())
        rows.append(
            f"<tr><td><b>{escape(one.tool)}</b><br><span class='lc-muted'>{escape(one.how)}</span>"
            f"</td><td><code>{says}</code></td><td>{_words(one.sees)}</td>"
            f"<td>{_words(one.misses)}</td></tr>"
        )
        says = "; ".join(one.says.splitlines())
        texts.append(f"{one.tool}: {says}. Sees: {one.sees}. Misses: {one.misses}.")
    head = "<tr><th>Ask</th><th>It answers</th><th>It sees</th><th>It misses</th></tr>"
    return Drawing(
        f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>", "\n".join(texts)
    )


def _words(text: str) -> str:
    return "<span class='lc-muted'>&ndash;</span>" if text == "-" else escape(text)
