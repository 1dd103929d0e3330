"""What four searches find in the sample code base: two greps, a linter, and the scanner, side by side."""

import asyncio
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.opinions import ruff_path
from loopclinic.lessons.programs import ran
from loopclinic.lessons.standardize.books import sample
from loopclinic.units import count

__all__ = ["MIXED", "RUNS", "Survey", "gate", "plan", "survey"]

MIXED = r"def.*async|async.*def"
RUNS = r"asyncio\.run\("
RULES = "ASYNC,RUF006"
_PATIENCE = 60.0


@dataclass(frozen=True)
class Survey:
    """What each search said of one code base, and what is true of it."""

    truth: Mapping[str, int]
    mixed: tuple[int, int]
    """Files that the first grep names, and lines."""
    runs: tuple[int, int]
    """Lines that the second names, and how many of them are no call."""
    linter: Sequence[Mapping[str, Any]] | None
    """The linter's findings, syntax errors left out; None where it is not installed."""
    scan: Mapping[str, Any]

    @property
    def conflicts(self) -> int:
        """How many conflicts the scanner found."""
        return len(self.scan["findings"])

    @property
    def through_calls(self) -> int:
        """How many of these are reached through calls of one's own functions."""
        return sum(len(one["chain"]) > 1 for one in self.scan["findings"])

    def __str__(self) -> str:
        return "\n".join(": ".join(row[:3]) for row in self._rows())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.drawing()._repr_html_()

    def drawing(self) -> Drawing:
        """Draw it as a table."""
        rows = "".join(
            f"<tr><td><b>{escape(name)}</b><br><code class='lc-muted'>{escape(how)}</code></td>"
            f"<td style='white-space:nowrap'>{escape(says)}</td><td>{escape(means)}</td></tr>"
            for name, how, says, means in self._rows()
        )
        head = "<tr><th>Search</th><th>It says</th><th>What that is worth</th></tr>"
        return Drawing(f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>", str(self))

    def _rows(self) -> list[tuple[str, str, str, str]]:
        truth = self.truth
        files, lines = self.mixed
        calls, no_calls = self.runs
        counts = self.scan["counts"]
        found = None if self.linter is None else len(self.linter)
        return [
            (
                "grep for mixed files",
                f'grep -E "{MIXED}"',
                f"{files} files, {lines} lines",
                (
                    f"{truth['mixed_files']} of {truth['files']} files have functions of both "
                    "kinds. A pattern sees lines: it names what has one async function."
                ),
            ),
            (
                "grep for loops",
                f'grep -E "{RUNS}"',
                f"{calls} lines",
                (
                    f"{no_calls} of them are no call, but a comment or a text; "
                    f"{truth['asyncio_run_calls']} calls are there, some under another name."
                ),
            ),
            (
                "the linter",
                f"ruff check --select {RULES}",
                "not installed" if found is None else count(found, "finding"),
                "Direct calls of functions it knows. It does not follow a call, and knows no driver.",
            ),
            (
                "the scanner",
                "loopclinic scan",
                count(self.conflicts, "finding"),
                (
                    f"{self.through_calls} of them through one's own functions, each with its "
                    f"chain; {counts['unresolved_calls']} calls it could not resolve, and "
                    f"{counts['syntax_errors']} files it could not parse and passed over."
                ),
            ),
        ]

    def kinds(self) -> Drawing:
        """Draw what the scanner found, by kind, with what the linter has of the same lines."""
        seen = {(one["file"], one["line"]) for one in self.linter or ()}
        both = Counter(
            one["kind"] for one in self.scan["findings"] if (one["file"], one["line"]) in seen
        )
        many = Counter(one["kind"] for one in self.scan["findings"])
        most = max(many.values(), default=1)
        rows = "".join(
            f"<tr><td style='white-space:nowrap'><code>{escape(kind)}</code></td>"
            "<td style='width:55%'><div style='display:flex;height:12px'>"
            f"<div style='width:{100 * both[kind] / most:.1f}%;background:var(--lc-lag)'></div>"
            f"<div style='width:{100 * (number - both[kind]) / most:.1f}%;"
            "background:var(--lc-stall)'></div></div></td>"
            f"<td>{number}</td><td>{both[kind] or ''}</td></tr>"
            for kind, number in many.most_common(10)
        )
        head = "<tr><th>Kind</th><th></th><th>scanner</th><th>linter, too</th></tr>"
        text = "; ".join(f"{kind} {number}" for kind, number in many.most_common(10))
        note = (
            f"The ten most frequent of {len(many)} kinds; blue is what the linter names, too."
            if len(many) > 10  # noqa: PLR2004 - the rows above
            else "Blue is what the linter names, too."
        )
        return Drawing(
            f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
            f"<p class='lc-muted'>{note}</p>",
            text,
        )


async def survey(folder: Path | None = None) -> Survey:
    """Search the sample code base, or `folder`, in each way; takes about three seconds."""
    root = await asyncio.to_thread(sample) if folder is None else folder
    lines, linter, scan = await asyncio.gather(
        asyncio.to_thread(_lines, root), _linted(root), _scanned(root)
    )
    mixed = [file for file, _, text in lines if re.search(MIXED, text)]
    runs = [(file, number) for file, number, text in lines if re.search(RUNS, text)]
    truth = json.loads(await asyncio.to_thread((root / "counts.json").read_text, "utf-8"))
    calls = await asyncio.to_thread(_calls_at, root, runs)
    return Survey(
        truth, (len(set(mixed)), len(mixed)), (len(runs), len(runs) - calls), linter, scan
    )


async def gate(folder: Path) -> Drawing:
    """Run both gates on a package, as a pipeline would, and quote how each ends."""
    ruff = await asyncio.to_thread(ruff_path)
    options = ("check", "--isolated", "--no-cache", "--output-format", "concise", "--quiet")
    scan = (sys.executable, "-m", "loopclinic", "scan", "--no-cache", "--fail-on", "any")
    commands: dict[str, tuple[str, ...]] = {"loopclinic scan --fail-on any": scan}
    if ruff is not None:
        rules = f"ruff check --select {RULES}"
        commands = {rules: (ruff, *options, "--select", RULES), **commands}
    rows, texts = [], []
    for shown, command in commands.items():
        status, out = await _told(*command, str(folder))
        said = out.strip().splitlines()
        summary = said[-1] if said else "All checks passed."
        word = "passes" if status == 0 else "fails"
        color = "var(--lc-calm)" if status == 0 else "var(--lc-stall)"
        rows.append(
            f"<tr><td><code>{escape(shown)}</code></td>"
            f"<td><b style='color:{color}'>{word}</b>, status {status}</td>"
            f"<td>{escape(summary)}</td></tr>"
        )
        texts.append(f"{shown}: {word}, status {status}. {summary}")
    head = "<tr><th>Gate</th><th></th><th>Its last line</th></tr>"
    return Drawing(
        f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>", "\n".join(texts)
    )


async def plan(folder: Path | None = None) -> Drawing:
    """Draw the phases of the scanner's migration plan, with what each is about and how much it is."""
    root = await asyncio.to_thread(sample) if folder is None else folder
    command = ("loopclinic", "scan", "--plan", root.name)
    _, out = await _told(sys.executable, "-m", *command, "--no-cache", cwd=root.parent)
    phases = []
    for part in out.split("\n## Phase ")[1:]:
        title, *rest = part.splitlines()
        words = next((one for one in rest if one.strip() and one[0] not in "-#"), "")
        tasks = [one for one in rest if one.lstrip().startswith("- [ ]")]
        first = tasks[0].partition("`")[2].partition("`")[0] if tasks else ""
        phases.append((title.partition(" (")[0], words, len(tasks), first))
    rows = "".join(
        f"<tr><td><b>{escape(title)}</b><br><span class='lc-muted'>{escape(words)}</span></td>"
        f"<td>{many}</td><td><code>{escape(first)}</code></td></tr>"
        for title, words, many, first in phases
    )
    head = "<tr><th>Phase</th><th>To do</th><th>The first</th></tr>"
    note = f"The whole checklist, in Markdown: {' '.join(command)}"
    lines = [f"Phase {title}, {many} to do" for title, _, many, _ in phases]
    return Drawing(
        f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
        f"<p class='lc-muted'>{escape(note)}</p>",
        "\n".join([*lines, note]),
    )


def _lines(folder: Path) -> list[tuple[str, int, str]]:
    return [
        (file.relative_to(folder).as_posix(), number, text)
        for file in sorted(folder.rglob("*.py"))
        for number, text in enumerate(file.read_text("latin-1").splitlines(), 1)
    ]


def _calls_at(folder: Path, places: Sequence[tuple[str, int]]) -> int:
    """Return how many of these lines are code: the match stands before any comment or text."""
    many = 0
    for file, number in places:
        text = (folder / file).read_text("latin-1").splitlines()[number - 1]
        before = text[: re.search(RUNS, text).start()]  # type: ignore[union-attr]
        many += "#" not in before and '"' not in before and "`" not in before
    return many


async def _linted(folder: Path) -> list[dict[str, Any]] | None:
    ruff = await asyncio.to_thread(ruff_path)
    if ruff is None:
        return None
    options = ("check", "--isolated", "--no-cache", "--output-format", "json", "--select", RULES)
    _, out = await _told(ruff, *options, str(folder))
    return [
        {
            "file": Path(one["filename"]).relative_to(folder).as_posix(),
            "line": one["location"]["row"],
            "code": one["code"],
        }
        for one in json.loads(out or "[]")
        if one["code"] not in (None, "invalid-syntax")
    ]


async def _scanned(folder: Path) -> dict[str, Any]:
    options = ("--format", "json", "--min-confidence", "likely", "--no-cache")
    _, out = await _told(sys.executable, "-m", "loopclinic", "scan", str(folder), *options)
    found: dict[str, Any] = json.loads(out)
    return found


async def _told(*command: str, cwd: Path | None = None) -> tuple[int | None, str]:
    plain = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    plain |= {"NO_COLOR": "1", "TERM": "dumb"}
    status, out, _ = await ran(command, environ=plain, cwd=cwd, patience=_PATIENCE)
    return status, out.decode("utf-8", "replace")
