"""Terminal demo of lesson 05: a batch handled one by one, all at once, and in a chain for each sender, in about ten seconds."""

from rich.console import Console, RenderableType

from loopclinic.lessons.sequential_awaits import ladder
from loopclinic.lessons.sequential_awaits.story import process_here
from loopclinic.lessons.story.demo_output import add_row, table
from loopclinic.units import span

SCENE = (
    "A webhook brings 24 messages of six people, half of them by one person. Each\n"
    "needs a request to a real service, and each person's are to stay in order."
)


async def demo(console: Console) -> RenderableType:
    """Process a batch one by one, all at once, and with a chain for each sender."""
    rows = table("", "answer after", "handled of 24", "overtook")
    for way in (ladder.one_by_one, ladder.gathered, ladder.chains):
        run = await process_here(way)
        figures = span(run.seconds), f"{len(run.requests)}", f"{len(run.overtook)}"
        good = not run.overtook and way is not ladder.one_by_one
        add_row(rows, way.__name__, *figures, good=good)
    return rows
