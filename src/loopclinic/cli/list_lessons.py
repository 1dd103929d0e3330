"""`loopclinic list`: all lessons, with minutes, progress and prerequisites."""

import argparse
import json
import sys

from rich.console import Console, RenderableType
from rich.table import Table

from loopclinic.checks import course, progress
from loopclinic.lessons import Lesson, lessons

__all__ = ["configure", "lesson_table", "run"]

_STATES = {
    "passed": "[green]passed[/]",
    "begun": "[dark_orange]begun[/]",
    "new": "new",
    "open": "[dim]no lab[/]",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    kept = progress.read()
    if kept.complaint:
        print(kept.complaint, file=sys.stderr)
    if args.json:
        print(json.dumps([_facts(one, kept) for one in lessons()], ensure_ascii=False))
        return 0
    console = Console()
    if console.is_terminal:
        console.print(lesson_table(kept))
        return 0
    for one in lessons():
        after = f"after {', '.join(one.requires)}" if one.requires else ""
        state = course.state_of(one, kept)
        print("\t".join((one.number, state, f"{one.minutes} min", one.title, after)).rstrip())
    return 0


def lesson_table(kept: progress.Progress) -> RenderableType:
    """Return the list as a table."""
    following = course.next_lesson(kept)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("", "lesson", "", "minutes", "progress", "after"):
        table.add_column(header, justify="right" if header == "minutes" else "left")
    for one in lessons():
        table.add_row(
            ">" if one == following else "",
            one.number,
            f"[bold]{one.title}[/]\n[dim]{one.summary}[/]",
            str(one.minutes),
            _STATES[course.state_of(one, kept)],
            ", ".join(one.requires),
        )
    return table


def _facts(one: Lesson, kept: progress.Progress) -> dict[str, object]:
    return {
        "number": one.number,
        "name": one.name,
        "title": one.title,
        "summary": one.summary,
        "minutes": one.minutes,
        "requires": list(one.requires),
        "conflicts": list(one.conflicts),
        "progress": course.state_of(one, kept),
    }
