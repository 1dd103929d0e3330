"""What other tools say about a lesson's code, each run and quoted, as one table."""

import asyncio
import json
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from html import escape
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from loopclinic.importing import imported
from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.lesson import Lesson
from loopclinic.lessons.programs import ran
from loopclinic.probe import Stall

__all__ = [
    "Opinion",
    "Remark",
    "dumped",
    "lint",
    "lint_shipped",
    "load_shipped",
    "of_scope",
    "ruff_path",
    "said",
    "slow_callback",
    "suspect",
    "table",
]

_RUFF = ("check", "--isolated", "--no-cache", "--select", "ASYNC", "--output-format", "json", "-")


class Opinion(NamedTuple):
    """One tool: how it is asked, what it says, what it sees and what it misses (`-` for nothing)."""

    tool: str
    how: str
    says: str
    sees: str
    misses: str


class Remark(NamedTuple):
    """One finding of the linter."""

    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.code} {self.message}"


async def lint(source: str) -> list[Remark] | None:
    """Return what ruff's ASYNC rules find in a piece of source, or None where ruff is not installed."""
    ruff = await asyncio.to_thread(ruff_path)
    if ruff is None:
        return None
    _, out, _ = await ran((ruff, *_RUFF), source.encode())
    return [
        Remark(one["location"]["row"], one["code"], one["message"])
        for one in json.loads(out or b"[]")
    ]


async def lint_shipped(lesson: Lesson) -> list[Remark] | None:
    """Return what they find in a lesson's lab as it ships, a single file."""
    return await lint(await asyncio.to_thread(_shipped, lesson))


def _shipped(lesson: Lesson) -> str:
    assert lesson.shipped is not None
    return lesson.shipped.read_text(encoding="utf-8")


def ruff_path() -> str | None:
    """Return where ruff is: beside this Python, else on PATH; None where it is not installed."""
    beside = shutil.which("ruff", path=sysconfig.get_path("scripts"))
    return beside or shutil.which("ruff")


def said(remarks: Iterable[object] | None) -> str:
    """Return remarks one a line, or words where there are none, or no linter."""
    if remarks is None:
        return "not installed here: pip install ruff"
    return "\n".join(map(str, remarks)) or "nothing"


def of_scope(stall: Stall, misses: str) -> Opinion:
    """Return what the scope said of a stall, and how soon."""
    seen = "the line, while it lasts"
    if stall.first_seen is not None:
        seen += f": after {span(stall.first_seen)}"
    says = f"{stall.where}  {stall.code or ''}".rstrip()
    return Opinion("the scope", "loopclinic.Scope()", says, seen, misses)


def load_shipped(lesson: Lesson) -> ModuleType:
    """Return a lesson's lab as it ships, imported anew."""
    assert lesson.shipped is not None
    return imported(lesson.shipped, "lab")


def dumped(dump: str, file: str = "") -> str:
    """Return the first frame of a stack dump, in words; the first in a file whose path ends so."""
    frame = re.search(rf'File "([^"]*{re.escape(file)})", line (\d+) in (\w+)', dump)
    return f"{Path(frame[1]).name}:{frame[2]} in {frame[3]}" if frame else "no frame"


def slow_callback(line: str) -> str:
    """Return debug mode's line about a slow callback, less what only says where Python lies."""
    return re.sub(
        r"<Task \w+ name='([^']+)' coro=<([\w.]+\(\)).*> took",
        r"<Task '\1' \2 …> took",
        line.removeprefix("asyncio: "),
    )


async def suspect(
    module: str, *arguments: str, heard: bytes | None = None, dev: bool = True
) -> tuple[str, str]:
    """Run one of the kit's programs to its end, in debug mode; return what it printed, and its errors.

    Raises:
        RuntimeError: it failed.
    """
    command = (sys.executable, *(("-X", "dev") if dev else ()), "-m", module, *arguments)
    status, out, err = await ran(command, heard, environ={**os.environ, "PYTHONWARNINGS": "ignore"})
    if status:
        raise RuntimeError(f"{module} ended with status {status}: {err.decode()[-500:]}")
    return out.decode(), err.decode()


def table(opinions: Iterable[Opinion]) -> Drawing:
    """Draw them below each other."""
    rows, texts = [], []
    for one in opinions:
        lines = one.says.splitlines()
        says = "<br>".join(map(escape, lines))
        rows.append(
            f"<tr><td><b>{escape(one.tool)}</b><br><span class='lc-muted'>{escape(one.how)}</span>"
            f"</td><td><code>{says}</code></td><td>{_words(one.sees)}</td>"
            f"<td>{_words(one.misses)}</td></tr>"
        )
        texts.append(f"{one.tool}: {'; '.join(lines)}. Sees: {one.sees}. Misses: {one.misses}.")
    head = "<tr><th>Ask</th><th>It answers</th><th>It sees</th><th>It misses</th></tr>"
    return Drawing(
        f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>", "\n".join(texts)
    )


def _words(text: str) -> str:
    return "<span class='lc-muted'>&ndash;</span>" if text == "-" else escape(text)
