"""`loopclinic list`: all lessons, with minutes, progress and prerequisites, and routes through them."""

import argparse
import json
import sys

from rich.console import Console, RenderableType
from rich.table import Table

from loopclinic.checks import progress
from loopclinic.lessons import Lesson, lessons
from loopclinic.lessons.start_here.lesson_plans import ROUTES, Route

_STATES = {
    "passed": "[green]passed[/]",
    "begun": "[dark_orange]begun[/]",
    "new": "new",
    "open": "[dim]no lab[/]",
}


def configure(parser: argparse.ArgumentParser) -> None:
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
        console.print(lesson_table(kept), "", route_table(), sep="\n")
        return 0
    for one in lessons():
        after = f"after {', '.join(one.requires)}" if one.requires else ""
        state = progress.state_of(one, kept)
        print("\t".join((one.number, state, f"{one.minutes} min", one.title, after)).rstrip())
    print()
    for route in ROUTES:
        print(route.name, f"{route.minutes} min", _numbers(route), sep="\t")
    return 0


def lesson_table(kept: progress.Progress) -> RenderableType:
    """Return the list as a table."""
    following = progress.next_lesson(kept)
    table = _table("", "lesson", "", "minutes", "progress", "after")
    for one in lessons():
        table.add_row(
            ">" if one == following else "",
            one.number,
            f"[bold]{one.title}[/]\n[dim]{one.summary}[/]",
            str(one.minutes),
            _STATES[progress.state_of(one, kept)],
            ", ".join(one.requires),
        )
    return table


def route_table() -> RenderableType:
    """Return the routes as a table."""
    table = _table("route", "minutes", "lessons")
    for one in ROUTES:
        table.add_row(one.name, f"{one.minutes}", _numbers(one))
    return table


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, justify="right" if header == "minutes" else "left")
    return table


def _numbers(route: Route) -> str:
    return " ".join(one.number for one in route.lessons)


def _facts(one: Lesson, kept: progress.Progress) -> dict[str, object]:
    names = ("number", "name", "title", "summary", "minutes", "requires", "conflicts")
    facts = {name: getattr(one, name) for name in names}
    return {**facts, "progress": progress.state_of(one, kept)}
