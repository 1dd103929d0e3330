"""Terminal demo of lesson 12: tasks of a Celery worker with a loop each, a loop a thread, one loop for all."""

from rich.console import Console, RenderableType

from loopclinic.lessons.loop_boundaries import ladder
from loopclinic.lessons.loop_boundaries.story import worked
from loopclinic.lessons.story.demo_output import add_row, table
from loopclinic.units import span

SCENE = (
    "A Celery worker with 16 threads runs 100 tasks, each of which awaits a query. A pool\n"
    "may open four connections."
)


async def demo(console: Console) -> RenderableType:
    """Let a worker run tasks in three ways, and ask PostgreSQL what they opened."""
    rows = table("", "loops", "connections opened", "at once", "per task")
    for one in (
        await worked(ladder.run_each, ladder.runner_each_thread, ladder.one_loop, tasks=100)
    ).runs:
        figures = f"{one['loops']}", f"{one['opened']}", f"{one['peak']}", span(one["per_task"])
        add_row(rows, one["name"], *figures, good=one["opened"] <= ladder.SIZE)
    return rows
