"""Findings in a terminal, grouped by conflict: in color where rich is installed, plain elsewhere."""

from typing import TYPE_CHECKING, Any

from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.findings import Finding
from loopclinic.scanner.report import Report
from loopclinic.scanner.reports.totals import totals
from loopclinic.units import count

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["plain", "printable", "show"]


def plain(report: Report) -> str:
    """Return the report as plain lines."""
    lines: list[str] = []
    for kind, found in report.groups:
        lines += [f"{kind} ({len(found)}): {CONFLICTS[kind].sentence}", ""]
        for one in found:
            lines.append(
                f"  {printable(one.file)}:{one.line}:{one.column}  {one.confidence}{_lesson(one)}"
            )
            lines.append(f"      {printable(one.source)}")
            lines += [f"      {step}" for step in _steps(one)]
            lines += [f"    {one.message}", ""]
    if report.skipped:
        lines += [f"Skipped ({len(report.skipped)})", ""]
        for skip in report.skipped:
            lines.append(f"  {printable(skip.where)}: {skip.reason}")
        lines.append("")
    lines += [f"{value:>9,} {words}" for value, words in totals(report)]
    lines.append(_verdict(report))
    return "\n".join(lines)


def printable(text: str) -> str:
    """Return text without what would move the cursor or break the line."""
    return "".join(one if one.isprintable() or one == "\t" else ascii(one)[1:-1] for one in text)


def _lesson(one: Finding) -> str:
    return f", lesson {one.lesson}" if one.lesson else ""


def _steps(one: Finding) -> list[str]:
    if not one.through_calls:
        return []
    return [
        f"{'  ' * depth}-> {printable(frame.file)}:{frame.line} {frame.function} calls {frame.call}"
        for depth, frame in enumerate(one.chain)
    ]


def _verdict(report: Report) -> str:
    if report.nothing_read:
        return "Nothing was read."
    if not report.findings:
        return f"No conflict found, in {report.seconds:.1f} s."
    found = count(len(report.findings), "finding")
    files = count(len({one.file for one in report.findings}), "file")
    return f"{found} in {files}, in {report.seconds:.1f} s."


def show(report: Report, console: "Console | None" = None) -> None:
    """Print the report, in color where rich is installed and there is a terminal."""
    try:
        from rich.console import Console  # noqa: PLC0415 - the light install does without
    except ModuleNotFoundError:
        print(plain(report))
        return
    console = console or Console()
    if not console.is_terminal:
        print(plain(report))
        return
    for kind, found in report.groups:
        _show_group(console, kind, found)
    if report.skipped:
        console.rule(f"[bold]skipped[/] {len(report.skipped)}", align="left", style="yellow")
        for skip in report.skipped:
            console.print(
                f"  {printable(skip.where)}  {skip.reason}", markup=False, highlight=False
            )
    console.print()
    for value, words in totals(report):
        console.print(f"{value:>9,} {words}", highlight=False)
    console.print(_verdict(report), style="bold", highlight=False)


_COLORS = {"certain": "red", "likely": "dark_orange", "hint": "cyan"}


def _show_group(console: Any, kind: str, found: list[Finding]) -> None:
    from rich.text import Text  # noqa: PLC0415 - only where rich is installed

    console.rule(f"[bold]{kind}[/] {len(found)}", align="left", style="bright_black")
    console.print(f"[dim]{CONFLICTS[kind].sentence}[/]\n")
    for one in found:
        head = Text(f"  {printable(one.file)}:{one.line}", style="bold")
        head.append(f"  {one.confidence}", style=_COLORS[one.confidence])
        head.append(_lesson(one), style="dim")
        console.print(head, soft_wrap=True)
        console.print(Text(f"      {printable(one.source)}", style="bright_white"), soft_wrap=True)
        for step in _steps(one):
            console.print(Text(f"      {step}", style="dim"), soft_wrap=True)
        console.print(Text(f"    {one.message}\n"))
