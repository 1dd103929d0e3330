"""What other tools (debug mode, linter, scanner, stack dump, CPU graph) say about a lesson's code."""

import asyncio
import inspect
import json
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from types import ModuleType
from typing import Any, NamedTuple

from loopclinic.drawing.tables import Drawing, bold, code, span, table
from loopclinic.import_path import imported
from loopclinic.lessons.catalogue import Lesson
from loopclinic.lessons.core.child_programs import ran
from loopclinic.probe import Stall

_IDLE = 0.25
"""Share of a core below which a CPU graph looks idle."""
_RUFF = ("check", "--isolated", "--no-cache", "--output-format", "json", "--select")


class Opinion(NamedTuple):
    """One tool: how it is asked, what it says, what it sees and what it misses (`-` for nothing)."""

    tool: str
    how: str
    says: str
    sees: str
    misses: str


def opinions(*rows: Opinion | None) -> Drawing:
    """Draw what tools say, below each other."""
    return table(
        ["Ask", "It answers", "It sees", "It misses"],
        [[bold(one.tool, one.how), code(one.says), one.sees, one.misses] for one in rows if one],
    )


async def linter(
    subject: Lesson | Callable[..., Any], sees: str, misses: str, *, rules: str = "ASYNC"
) -> Opinion:
    """Return what these rules of ruff's find in a lesson's lab of one file, or in a function of a cell."""
    above = 0
    if isinstance(subject, Lesson):
        assert subject.shipped is not None
        what, source = "the lab file", await asyncio.to_thread(subject.shipped.read_text, "utf-8")
    else:
        what, (above, source) = "your cell", _alone(subject)
    ruff = await asyncio.to_thread(ruff_path)
    if ruff is None:
        says = "not installed here: pip install ruff"
    else:
        _, out, _ = await ran((ruff, *_RUFF, rules, "-"), source.encode())
        says = "\n".join(
            f"line {one['location']['row'] - above}: {one['code']} {one['message']}"
            for one in json.loads(out or b"[]")
        )
    return Opinion(f"ruff, {what}", f"ruff check --select {rules}", says or "nothing", sees, misses)


def _alone(function: Callable[..., Any]) -> tuple[int, str]:
    """Return a function of a cell below an import of what it uses, and how much higher its lines count than there."""
    known = ((name, function.__globals__.get(name)) for name in function.__code__.co_names)
    modules = (
        f"import {it.__name__} as {name}; " for name, it in known if isinstance(it, ModuleType)
    )
    lines, first = inspect.getsourcelines(function)
    return 2 - first, f"{''.join(modules)}pass\n{dedent(''.join(lines))}"


async def scanned(subject: str | Callable[..., Any], sees: str, misses: str) -> Opinion:
    """Return what the kit's scanner finds in a file, or in a function of a cell, by line."""
    what = "your cell" if callable(subject) else subject
    found = await asyncio.to_thread(_findings, subject)
    says = "\n".join(f"line {line}: {kind}" for line, kind in found)
    return Opinion("loopclinic scan", what, says or "nothing", sees, misses)


def _findings(subject: str | Callable[..., Any]) -> list[tuple[int, str]]:
    from loopclinic.scanner import scan  # slow to import, and few ask it

    with TemporaryDirectory() as room:
        path, above = Path(room, "cell.py"), 0
        if callable(subject):
            above, source = _alone(subject)
            path.write_text(source, "utf-8")
        else:
            path = Path(subject)
        return sorted((one.line - above, one.kind) for one in scan(path, cached=False).findings)


def ruff_path() -> str | None:
    """Return where ruff is: beside this Python, else on PATH; None where it is not installed."""
    beside = shutil.which("ruff", path=sysconfig.get_path("scripts"))
    return beside or shutil.which("ruff")


def of_scope(stall: Stall | None, misses: str) -> Opinion | None:
    """Return what the scope said of a stall, and how soon."""
    if stall is None:
        return None
    seen = "" if stall.first_seen is None else f": after {span(stall.first_seen)}"
    says = f"{stall.where}  {stall.code or ''}".rstrip()
    what = "a burst of short steps" if stall.burst else "the line"
    return Opinion("the scope", "loopclinic.Scope()", says, f"{what}, while it lasts{seen}", misses)


def load_shipped(lesson: Lesson) -> ModuleType:
    """Return a lesson's lab as it ships, imported anew."""
    assert lesson.shipped is not None
    return imported(lesson.shipped, "lab")


class DebugRun(NamedTuple):
    """What a program with the lab's fault in it did: its own answer, and what tools said of it."""

    value: Any
    seconds: float
    cpu: float
    """Seconds of a processor."""
    logged: list[str]
    """What asyncio's debug mode logged."""
    dump: str
    """The stack dump that was taken in the middle, and other errors."""

    def cpu_graph(self, misses: str) -> Opinion:
        """Return what a CPU graph shows."""
        share = self.cpu / self.seconds
        says = f"{share:.1%} of a core, for {span(self.seconds)}"
        sees = "an idle service" if share < _IDLE else "a busy service"
        return Opinion("a CPU graph", "time.process_time()", says, sees, misses)

    def debug_mode(self, sees: str, misses: str) -> Opinion:
        """Return debug mode's line about a slow callback, less what only says where Python lies."""
        slow = next((line for line in self.logged if line.startswith("Executing")), "nothing")
        task = r"<Task \w+ name='([^']+)' coro=<([\w.]+\(\)).*> took"
        says = re.sub(task, r"<Task '\1' \2 …> took", slow)
        sees = "-" if says == "nothing" else sees
        return Opinion("debug mode", "python -X dev", says, sees, misses)

    def stack_dump(self, misses: str, file: str = "") -> Opinion:
        """Return the first frame of the stack dump that is in a file whose path ends so."""
        frame = re.search(rf'File "([^"]*{re.escape(file)})", line (\d+) in (\w+)', self.dump)
        says = f"{Path(frame[1]).name}:{frame[2]} in {frame[3]}" if frame else "no frame"
        return Opinion("a stack dump", "faulthandler", says, "the line", misses)


async def debug_run(
    function: Callable[..., Awaitable[Any]],
    *,
    dump_after: float | None = None,
    end_after: float | None = None,
    **given: Any,
) -> DebugRun:
    """Run `await function(**given)` in asyncio's debug mode, in a process of its own.

    A stack dump is taken after `dump_after` seconds; after `end_after`, what hangs is ended.

    Raises:
        RuntimeError: it failed.
    """
    name = f"{function.__module__}:{getattr(function, '__name__', '')}"
    order = {"function": name, "given": given, "dump_after": dump_after, "end_after": end_after}
    command = (sys.executable, "-X", "dev", "-m", "loopclinic.lessons.story.debug_program")
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    status, out, err = await ran(command, json.dumps(order).encode(), environ=environ)
    if status:
        raise RuntimeError(f"{name} ended with status {status}: {err.decode()[-500:]}")
    return DebugRun(**json.loads(out.splitlines()[-1]), dump=err.decode())
