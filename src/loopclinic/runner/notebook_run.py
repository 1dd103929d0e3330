"""`loopclinic.run`: runs a program under the probe from a notebook, and returns its report."""

import contextlib
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import psutil

from loopclinic.drawing.document import InlinePage
from loopclinic.drawing.tables import Drawing, code, table
from loopclinic.output_tail import Tail
from loopclinic.units import duration

_FLOOD = 1_000_000
_FAREWELL = 5.0
_SHOWN = 8


class RunError(Exception):
    """A program can't be run; the message names the repair."""


@dataclass(frozen=True, repr=False)
class Watched:
    """What a program's event loops did, as `loopclinic run --json` says it, and its page."""

    report: dict[str, Any]
    html: str
    output: str
    """The last 16 kB that it printed."""
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The whole in one sentence."""
        return str(self.report["headline"])

    @property
    def places(self) -> list[dict[str, Any]]:
        """The lines that stalled, the costliest first."""
        return list(self.report["places"])

    def to_html(self) -> str:
        """Return the report as one page that needs nothing else."""
        return self.html

    def page(self, height: int = 700) -> InlinePage:
        """Return the page as the last expression of a cell shows it, so many pixels high."""
        return InlinePage(self.html, height)

    def _repr_html_(self) -> str:
        rows = [
            [
                *(one["where"], code(one["code"]), str(one["stalls"]), duration(one["worst"])),
                *(one["conflict"] or "", one["lesson"] or ""),
            ]
            for one in self.places[:_SHOWN]
        ]
        heads = ("line", "code", "stalls", "worst", "looks like", "lesson")
        said = Drawing(f"<p class='lc-say'>{escape(self._title)}</p>", "")
        found = said + table(heads, rows) if rows else said
        return sum((Drawing.note(f"Note: {one}") for one in self._notes), found)._repr_html_()

    @property
    def _title(self) -> str:
        ending = self.report["ending"]["sentence"]
        return f"{self.report['target']} {ending}. {self.headline}"

    @property
    def _notes(self) -> list[str]:
        return [*self.report["notes"], *self.notes]

    def __str__(self) -> str:
        lines = [self._title]
        for one in self.places[:_SHOWN]:
            lesson = f"  lesson {one['lesson']}" if one["lesson"] else ""
            lines.append(f"  {duration(one['worst'])} at {one['where']}  {one['code']}{lesson}")
        return "\n".join([*lines, *self._notes])

    __repr__ = __str__


def run(
    target: str | Path,
    *arguments: object,
    module: bool = False,
    threshold: float = 0.05,
    witness: bool = True,
    seconds: float = 60.0,
) -> Watched:
    """Run an asyncio program under the probe, as `loopclinic run` does, and return its report.

    The program is an ordinary process of yours, with all your rights. After `seconds` it is asked to
    end, as a server has to be, and ended five seconds later if it does not.

    Args:
        target: a file, or a module with `module=True`.
        arguments: what it is given.
        module: whether `target` is a module, as with `-m`.
        threshold: seconds of one busy iteration from which on it is a stall.
        witness: name the line also while a call keeps the GIL (Linux).
        seconds: the most it may take.

    Raises:
        RunError: there is no such program, or its report was not to be had.
        KeyboardInterrupt: at an interrupt, with every process ended.
    """
    with tempfile.TemporaryDirectory(prefix="loopclinic-") as folder:
        report, page = Path(folder, "report.json"), Path(folder, "report.html")
        words = ["--quiet", "--threshold", f"{threshold:g}", "--json", str(report)]
        words += ["--html", str(page), *([] if witness else ["--no-witness"])]
        words += [*(["-m"] if module else []), str(target), *map(str, arguments)]
        printed, said, notes = _run(words, seconds)
        if not report.is_file():
            last = said.strip().rpartition("\n")[2].removeprefix("loopclinic: ")
            raise RunError(" ".join(notes) or last or f"{target} was not run: it sent no report.")
        return Watched(
            report=json.loads(report.read_text("utf-8")),
            html=page.read_text("utf-8"),
            output=printed + said.rpartition("\nloopclinic: ")[0],
            notes=notes,
        )


def _run(words: list[str], seconds: float) -> tuple[str, str, tuple[str, ...]]:
    """Return what was printed to standard output and to standard error, and notes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "loopclinic", "run", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    notes = []
    tails = [Tail(stream) for stream in (process.stdout, process.stderr)]
    try:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            notes.append(f"It was asked to end after {duration(seconds)}.")
            process.terminate()
            try:
                process.wait(_FAREWELL)
            except subprocess.TimeoutExpired:
                notes.append(f"It did not within {duration(_FAREWELL)}, and was killed.")
    finally:
        _kill(process)
        for tail in tails:
            tail.join(2.0)
        process.stdout.close()
        process.stderr.close()
    printed = sum(tail.size for tail in tails)
    if printed > _FLOOD:
        notes.append(f"It printed {printed / 1e6:,.0f} MB; the last 16 kB of it are kept.")
    return tails[0].text, tails[1].text, tuple(notes)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        # The program stands in a group of its own, as under any shell.
        watcher = psutil.Process(process.pid)
        for one in [*watcher.children(recursive=True), watcher]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()
