"""Findings in a terminal, in color where rich is installed; `loopclinic.scanner.scan_report.plain` elsewhere."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from loopclinic.conflicts import CONFLICTS
from loopclinic.scanner.finding import Finding
from loopclinic.scanner.scan_report import (
    Report,
    also_leading,
    by_leaf,
    plain,
    printable,
    replacement,
    steps_of,
    totals,
    verdict,
)

if TYPE_CHECKING:
    from rich.console import Console


def show(
    report: Report,
    instead: Mapping[Finding, str] | None = None,
    console: "Console | None" = None,
) -> None:
    """Print the report, in color where rich is installed and there is a terminal."""
    try:
        from rich.console import Console  # the light install does without
    except ModuleNotFoundError:
        print(plain(report, instead))
        return
    console = console or Console()
    if not console.is_terminal:
        print(plain(report, instead))
        return
    for kind, found in report.groups:
        _show_group(console, kind, found, instead)
    if report.skipped:
        console.rule(f"[bold]skipped[/] {len(report.skipped)}", align="left", style="yellow")
        for skip in report.skipped:
            console.print(
                f"  {printable(skip.where)}  {skip.reason}", markup=False, highlight=False
            )
    console.print()
    for value, words in totals(report):
        console.print(f"{value:>9,} {words}", highlight=False)
    console.print(verdict(report), style="bold", highlight=False)


_COLORS = {"certain": "red", "likely": "dark_orange", "hint": "cyan"}


def _show_group(
    console: Any, kind: str, found: list[Finding], instead: Mapping[Finding, str] | None
) -> None:
    from rich.text import Text  # only where rich is installed

    console.rule(f"[bold]{kind}[/] {len(found)}", align="left", style="bright_black")
    console.print(f"[dim]{CONFLICTS[kind].sentence}[/]\n")
    for one, *others in by_leaf(found):
        head = Text(f"  {printable(one.file)}:{one.line}", style="bold")
        head.append(f"  {one.confidence}", style=_COLORS[one.confidence])
        head.append(one.about.removeprefix(one.confidence), style="dim")
        console.print(head, soft_wrap=True)
        console.print(Text(f"      {printable(one.source)}", style="bright_white"), soft_wrap=True)
        for step in steps_of(one):
            console.print(Text(f"      {step}", style="dim"), soft_wrap=True)
        console.print(Text(f"    {one.message}"))
        for line in (*replacement(one, instead), *also_leading(one, others)):
            console.print(Text(line, style="dim"), soft_wrap=True)
        console.print()
