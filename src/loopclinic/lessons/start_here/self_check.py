"""Self-check of notebook 00: Python, kernel, widgets, servers, labs, cards due; a row each, with its repair."""

import asyncio
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from loopclinic.drawing.tables import Drawing, bold, colored, table
from loopclinic.paths import kit_root
from loopclinic.recall.cards import waiting
from loopclinic.recall.guesses import read
from loopclinic.servers import SERVICES
from loopclinic.tried_pythons import untried
from loopclinic.units import count

_DOCTOR = "Run loopclinic doctor in a terminal: it says more."


class _Line(NamedTuple):
    name: str
    detail: str
    repair: str = ""


def _python() -> _Line:
    difference = untried()
    return _Line("Python", platform.python_version() + (f"; {difference}" if difference else ""))


def _loop() -> _Line:
    loop = asyncio.get_running_loop()
    name = type(loop).__name__
    if getattr(loop, "_selector", None) is None:
        return _Line("Kernel", f"{name} has no selector", "Use the kit's kernel, named Python 3.")
    return _Line("Kernel", f"its event loop runs ({name})")


def _widgets() -> _Line:
    folder = Path(sys.prefix) / "share" / "jupyter" / "labextensions"
    wanted = ("anywidget", "@jupyter-widgets/jupyterlab-manager")
    missing = [name for name in wanted if not (folder / name / "package.json").exists()]
    if missing:
        return _Line("Widgets", f"JupyterLab lacks {' and '.join(missing)}", "make setup")
    return _Line("Widgets", "both parts are installed")


def _servers() -> _Line:
    def try_one(start: Callable[[], AbstractContextManager[str]]) -> None:
        with start():
            pass

    began = perf_counter()
    with ThreadPoolExecutor() as pool:
        list(pool.map(try_one, SERVICES.values()))
    return _Line("Servers", f"{len(SERVICES)} started and ended in {perf_counter() - began:.1f} s")


def _recall() -> _Line | None:
    many = sum(at <= datetime.now(UTC) for at, *_ in waiting(read()))
    return _Line("Recall", f"{count(many, 'card')} due", "loopclinic recall") if many else None


_QUESTIONS: dict[str, Callable[[], _Line | None]] = {
    "Python": _python,
    "Kernel": _loop,
    "Widgets": _widgets,
    "Servers": _servers,
    "Labs": lambda: _Line("Labs", str(kit_root() / "labs")),
    "Recall": _recall,
}


def self_check() -> Drawing:
    """Ask each question, and show a row for each: well, or what to do."""
    rows = []
    for name, question in _QUESTIONS.items():
        try:
            line = question()
        except Exception as error:
            line = _Line(name, f"{type(error).__name__}: {error}", _DOCTOR)
        if line is None:
            continue
        mark = colored("to do", "stall") if line.repair else colored("ok", "calm")
        rows.append([bold(name), mark, f"{line.detail}\n{line.repair}".rstrip()])
    return table(["Part", "", ""], rows)
