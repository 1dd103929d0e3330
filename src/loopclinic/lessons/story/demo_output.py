"""Terminal output of demos: runs one between its beginning and its end; tables, benchmark results."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loopclinic.lag_bars import FREE, STUCK
from loopclinic.lessons.catalogue import Lesson
from loopclinic.lessons.story.race import Result

BAD, GOOD = STUCK, FREE


async def show(console: Console, lesson: Lesson, demo: Any) -> None:
    """Run a module `demo`: print its lesson's title and `SCENE`, what `demo` returns, where to go on."""
    console.print()
    console.print(Text(f"{lesson.number}  {lesson.title}", style="bold"))
    console.print(f"{demo.SCENE}\n")
    console.print(await demo.demo(console), highlight=False)
    assert lesson.shipped is not None
    by = f"judged by [bold]loopclinic check {lesson.number}[/bold]"
    console.print(f"\nFix it yourself: labs/{lesson.shipped.name}, {by}.\n", highlight=False)


def table(first: str, *figures: str) -> Table:
    """Return an empty table: a column of names, and one for each figure."""
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    found.add_column(first)
    for figure in figures:
        found.add_column(figure, justify="right")
    return found


def add_row(rows: Table, name: str, *figures: str, good: bool) -> None:
    """Add a row of figures, its name green or red."""
    rows.add_row(Text(name, GOOD if good else BAD), *figures)


def race_table(found: Result, first: str) -> Table:
    """Return a race as a table: a row for each way, red where it is not good."""
    rows = table(first, *(column.head for column in found.race.columns))
    for one in found.runners:
        figures = (column.of(one) for column in found.race.columns)
        add_row(rows, one.name, *figures, good=found.race.good(one))
    return rows
