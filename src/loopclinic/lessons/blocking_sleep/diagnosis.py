"""What other tools say about a retry that sleeps on the loop: each is run, and quoted."""

import asyncio
import inspect
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

from loopclinic.lessons.blocking_sleep import LESSON
from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.opinions import (
    Opinion,
    Remark,
    dumped,
    lint,
    lint_shipped,
    of_scope,
    said,
    slow_callback,
    suspect,
    table,
)
from loopclinic.probe import Stall

__all__ = ["diagnose"]

_SUSPECT = "loopclinic.lessons.blocking_sleep.suspect"


async def diagnose(function: Callable[..., Any], stall: Stall | None = None) -> Drawing:
    """Run each tool on the lab as shipped, and the linter on `function` too; quote what they say.

    `stall` is one that the scope saw, for the last line. Takes about two seconds.
    """
    program, cell, file = await asyncio.gather(
        _suspect(),
        lint(f"{_imports(function)}\n{inspect.getsource(function)}"),
        lint_shipped(LESSON),
    )
    findings = [
        *program,
        Opinion(
            "ruff, your cell",
            "ruff check --select ASYNC",
            _lines(cell, above=1),
            "a direct call, at once",
            "-",
        ),
        Opinion(
            "ruff, the lab file",
            "ruff check --select ASYNC",
            _lines(file),
            "-",
            "the same sleep, one ordinary function deeper",
        ),
    ]
    if stall is not None:
        findings.append(of_scope(stall, "what did not run"))
    return table(findings)


async def _suspect() -> list[Opinion]:
    """Run the lab as shipped, in debug mode, and read what was said meanwhile."""
    out, dump = await suspect(_SUSPECT)
    facts = next(json.loads(line) for line in out.splitlines() if line.startswith("{"))
    slow = next((line for line in out.splitlines() if line.startswith("asyncio: Exec")), "")
    return [
        Opinion(
            "a CPU graph",
            "time.process_time()",
            f"{facts['cpu']:.1%} of a core, for {span(facts['seconds'])}",
            "an idle service",
            "that nobody was served",
        ),
        Opinion(
            "debug mode",
            "python -X dev",
            slow_callback(slow),
            "the task, and how long",
            "the line; it speaks afterwards",
        ),
        Opinion(
            "a stack dump",
            "faulthandler",
            dumped(dump),
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


def _lines(remarks: list[Remark] | None, *, above: int = 0) -> str:
    """Return the linter's remarks, less the lines `above` the source, and what it leaves unsaid."""
    if not remarks:
        return said(remarks)
    lines = [str(one._replace(line=one.line - above)) for one in remarks]
    if not any(one.code == "ASYNC251" for one in remarks):
        lines.append("and nothing about a sleep")
    return said(lines)
