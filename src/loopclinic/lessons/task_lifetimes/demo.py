"""Terminal demo of lesson 11: tasks that nobody keeps, and a bot restarted with and without a supervisor, in about fifteen seconds."""

from rich.console import Console, RenderableType

from loopclinic.lessons.story.demo_output import add_row, table
from loopclinic.lessons.task_lifetimes import ladder, story

CUSTOMERS = 40

SCENE = (
    "Tasks that nobody keeps wait for different things; the garbage collector runs.\n"
    f"Then a bot is told to stop while it prints photos for {CUSTOMERS} customers."
)


async def demo(console: Console) -> RenderableType:
    """Collect garbage under tasks that nobody keeps, then restart a bot, with and without a supervisor."""
    held = await story.who_holds()
    rows = table("a task that awaits", f"left of {held.tasks}", "is held by")
    for kind, left in held.left.items():
        add_row(rows, kind, f"{left}", story.HOLDERS[kind], good=left == held.tasks)
    console.print(rows)
    rows = table("a job is", "customers who heard nothing more", "stopped after")
    for way in (ladder.forgotten, ladder.supervised):
        found = await story.measure(way, customers=CUSTOMERS, patience=8.0)
        lost, seconds = CUSTOMERS - found["heard"], found["seconds"]
        add_row(rows, way.__name__, f"{lost:.0f}", f"{seconds:.1f} s", good=not lost)
    return rows
