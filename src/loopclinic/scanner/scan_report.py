"""Report of a scan: findings, skipped files and totals, as plain text and as a notebook's table."""

import html
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from loopclinic.conflicts import CONFLICTS
from loopclinic.drawing import STYLE
from loopclinic.scanner.finding import CONFIDENCES, Finding, Skipped
from loopclinic.units import count

_SORT = (
    "const h=this.parentNode,b=h.closest('table').tBodies[0],i=h.cellIndex,"
    "d=this.dataset.d=this.dataset.d==='1'?'-1':'1';"
    "[...b.rows].sort((x,y)=>d*x.cells[i].dataset.k.localeCompare(y.cells[i].dataset.k,undefined,"
    "{numeric:true})).forEach(r=>b.append(r))"
)
_SHOWN = 500
# What is counted, and which of them.
_WORDS = {
    "files": ("file", ""),
    "files_read": ("file", " that could be read"),
    "lines": ("line", ""),
    "mixed_files": ("file", " with sync and async functions"),
    "async_functions": ("async function", ""),
    "sync_functions": ("sync function", ""),
    "asyncio_run_calls": ("call", " of asyncio.run"),
    "syntax_errors": ("file", " with syntax errors"),
    "unresolved_calls": ("call", " in async reach that could not be resolved"),
    "in_baseline": ("finding", " known from the baseline"),
    "in_base": ("finding", " that the base of the branch has as well"),
    "unread_in_base": ("file", " that the base of the branch can't read either"),
    "stalls_unexplained": ("stall", " of the run at no line of a finding"),
    "unsure_left_out": ("hint", " left out, which --min-confidence hint shows"),
    "light_left_out": (
        "finding",
        " left out that weigh little (metadata, one file, tests, scripts, start), which --min-weight light shows",
    ),
}


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one scan; paths are relative to `root`."""

    root: str
    findings: tuple[Finding, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """files, files_read, mixed_files, async_functions, sync_functions, asyncio_run_calls, syntax_errors, …"""
    seconds: float = 0.0
    unneeded: tuple[str, ...] = ()
    """Entries of the allow-list that cover no finding any more."""

    @property
    def nothing_read(self) -> bool:
        """Whether there was no file that could be read."""
        return not self.counts.get("files_read")

    @property
    def unread(self) -> int:
        """How many files could not be read, without those that the base of the branch can't read either."""
        read = self.counts.get("files_read", 0) + self.counts.get("unread_in_base", 0)
        return self.counts.get("files", 0) - read

    @property
    def by_kind(self) -> dict[str, int]:
        """How many findings there are of each kind, most first."""
        return dict(Counter(one.kind for one in self.findings).most_common())

    @property
    def groups(self) -> list[tuple[str, list[Finding]]]:
        """The findings of each kind, the kind with the heaviest first, then by precedence."""
        found: dict[str, list[Finding]] = {}
        for one in self.findings:
            found.setdefault(one.kind, []).append(one)
        return sorted(
            found.items(),
            key=lambda item: (min(one.order[:2] for one in item[1]), CONFLICTS[item[0]].rank),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON report."""
        return {
            "findings": [one.as_dict() for one in self.findings],
            "skipped": [one.as_dict() for one in self.skipped],
            "counts": {**self.counts, "by_kind": self.by_kind},
        }

    @classmethod
    def from_dict(cls, root: str, data: Mapping[str, Any]) -> "Report":
        """Read what `as_dict` returned."""
        findings = tuple(map(Finding.from_dict, data["findings"]))
        skipped = tuple(Skipped(**one) for one in data["skipped"])
        counts = {key: value for key, value in data["counts"].items() if key != "by_kind"}
        return cls(root, findings, skipped, counts)

    def _repr_html_(self) -> str:
        return table(self)

    def __str__(self) -> str:
        return plain(self)


def totals(report: Report) -> Iterator[tuple[int, str]]:
    """Yield each total and what it counts; the files that were read only where some were not."""
    all_read = report.counts.get("files_read") == report.counts.get("files")
    for key, (noun, which) in _WORDS.items():
        if key in report.counts and not (key == "files_read" and all_read):
            value = report.counts[key]
            yield value, f"{noun if value == 1 else noun + 's'}{which}"


def plain(report: Report, instead: Mapping[Finding, str] | None = None) -> str:
    """Return the report as plain lines; `instead` is what to write for those it is known for."""
    lines: list[str] = []
    for kind, found in report.groups:
        lines += [f"{kind} ({len(found)}): {CONFLICTS[kind].sentence}", ""]
        for one, *others in by_leaf(found):
            lines.append(f"  {printable(one.file)}:{one.line}:{one.column}  {one.about}")
            lines.append(f"      {printable(one.source)}")
            lines += [f"      {step}" for step in steps_of(one)]
            lines += [f"    {one.message}", *replacement(one, instead)]
            lines += [*also_leading(one, others), ""]
    if report.skipped:
        lines += [f"Skipped ({len(report.skipped)})", ""]
        for skip in report.skipped:
            lines.append(f"  {printable(skip.where)}: {skip.reason}")
        lines.append("")
    lines += [f"{value:>9,} {words}" for value, words in totals(report)]
    lines.append(verdict(report))
    return "\n".join(lines)


def printable(text: str) -> str:
    """Return text without what would move the cursor or break the line."""
    return "".join(one if one.isprintable() or one == "\t" else ascii(one)[1:-1] for one in text)


def by_leaf(found: Iterable[Finding]) -> list[list[Finding]]:
    """Group findings by the call that their chains end at, in the order of the first of each group."""
    groups: dict[tuple[Any, ...], list[Finding]] = {}
    for one in found:
        groups.setdefault(one.leaf if one.through_calls else (one.file, one.line), []).append(one)
    return list(groups.values())


def replacement(one: Finding, instead: Mapping[Finding, str] | None) -> list[str]:
    """Return a line that says what to write instead, where that is known."""
    return [f"    instead: {instead[one]}"] if instead and one in instead else []


def also_leading(one: Finding, others: list[Finding]) -> Iterator[str]:
    """Yield the other lines that lead to the leaf of a finding, a line each."""
    if others:
        file, line, _ = one.leaf
        yield f"    {count(len(others), 'more line')} to {printable(file)}:{line}:"
    for more in others:
        place = f"{printable(more.file)}:{more.line}:{more.column}"
        yield f"      {place}  {more.about}  {printable(more.source)}"


def steps_of(one: Finding) -> list[str]:
    """Return the calls that lead to a finding, a line each; none for a call that blocks itself."""
    if not one.through_calls:
        return []
    return [
        f"{'  ' * depth}-> {printable(frame.file)}:{frame.line} {frame.function} calls {frame.call}"
        for depth, frame in enumerate(one.chain)
    ]


def verdict(report: Report) -> str:
    """Return how many findings there are, in a sentence."""
    if report.nothing_read:
        return "Nothing was read."
    where = ""
    if report.unread:
        where = f" in the {report.counts['files_read']} of {count(report.counts['files'], 'file')} that could be read"
    if not report.findings:
        weight = " of weight" if report.counts.get("light_left_out") else ""
        return f"No conflict{weight} found{where}, in {report.seconds:.1f} s."
    found = count(len(report.findings), "finding")
    files = count(len({one.file for one in report.findings}), "file")
    return f"{found} in {files}{where and f',{where}'}, in {report.seconds:.1f} s."


def table(report: Report) -> str:
    """Return the table; a link opens the file in JupyterLab at its line where it lies below its root."""
    heads = "".join(
        f"<th><button title='sort' onclick=\"{_SORT}\">{name}</button></th>"
        for name in ("line", "conflict", "sure", "what", "lesson")
    )
    rows = "".join(_row(one, report) for one in report.findings[:_SHOWN])
    more = len(report.findings) - _SHOWN
    notes = f"<p>and {more:,} more</p>" if more > 0 else ""
    if report.skipped:
        items = "".join(
            f"<li>{html.escape(one.where)}: {html.escape(one.reason)}</li>"
            for one in report.skipped
        )
        notes += (
            f"<details><summary>{len(report.skipped)} skipped</summary><ul>{items}</ul></details>"
        )
    counts = ", ".join(f"{value:,} {words}" for value, words in totals(report) if value)
    return (
        f"<div class='lc lc-wide'><style>{STYLE}</style>"
        f"<p class='lc-say'>{count(len(report.findings), 'finding')}; {html.escape(counts)}</p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{notes}</div>"
    )


def _row(one: Finding, report: Report) -> str:
    what = marked(one.message)
    if one.through_calls:
        steps = "<br>".join(
            html.escape(f"{frame.file}:{frame.line} {frame.function} calls {frame.call}")
            for frame in one.chain
        )
        what = f"<details><summary>{what}</summary>{steps}</details>"
    shown = html.escape(one.file).replace("/", "/<wbr>")
    place = f"<a href='{_link(one, report)}' target=_blank>{shown}:{one.line}</a>"
    lesson = html.escape(one.lesson or "")
    cells = (
        (f"{one.file}:{one.line:06}", place),
        (one.kind, html.escape(one.kind)),
        (str(CONFIDENCES[::-1].index(one.confidence)), one.confidence),
        (one.message, what),
        (lesson, f"<span title='{lesson}'>{lesson.partition('_')[0]}</span>"),
    )
    return (
        "<tr>"
        + "".join(f'<td data-k="{html.escape(key)}">{shown}</td>' for key, shown in cells)
        + "</tr>"
    )


def _link(one: Finding, report: Report) -> str:
    root = Path(report.root)
    path = (root if root.is_dir() else root.parent) / one.file
    try:
        near = quote(os.fsencode(Path(os.path.relpath(path)).as_posix()))
    except ValueError:  # another drive on Windows
        near = path.as_uri()
    return f"{near}#line={one.line - 1}"  # counted from 0 (RFC 5147), as JupyterLab's editor does


def marked(message: str) -> str:
    """Return a message as HTML, with what stands in backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(message))
