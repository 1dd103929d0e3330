"""How a lesson's demo begins and ends in the terminal, and its two colors."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loopclinic.bars import FREE, STUCK
from loopclinic.lessons.lesson import Lesson

__all__ = ["BAD", "GOOD", "begin", "end", "table"]

BAD, GOOD = STUCK, FREE


def begin(console: Console, lesson: Lesson, scene: str) -> None:
    """Print the lesson's title and the scene."""
    console.print()
    console.print(Text(f"{lesson.number}  {lesson.title}", style="bold"))
    console.print(f"{scene}\n")


def end(console: Console, lesson: Lesson) -> None:
    """Say where the learner goes on."""
    assert lesson.shipped is not None
    console.print(
        f"\nMend it yourself: labs/{lesson.shipped.name}, judged by "
        f"[bold]loopclinic check {lesson.number}[/bold].\n",
        highlight=False,
    )


def table(first: str, *figures: str) -> Table:
    """Return an empty table: a column of names, and one for each figure."""
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    found.add_column(first)
    for figure in figures:
        found.add_column(figure, justify="right")
    return found
