"""Terminal demo of lesson 06: uploads on the loop, in shared threads, and in threads of their own."""

from rich.console import Console, RenderableType

from loopclinic.lessons.story.demo_output import add_row, table
from loopclinic.lessons.sync_sdk import ladder
from loopclinic.lessons.sync_sdk.story import uploads
from loopclinic.units import span

SCENE = (
    "Six files are stored by MinIO's SDK in a real S3 server, half a second away; then\n"
    "18 in threads. Right after they began, somebody looks up the name of a host."
)


async def demo(console: Console) -> RenderableType:
    """Store files in each way, and look up the name of a host meanwhile."""
    rows = table("", "uploads", "done after", "the lookup waited", "threads")
    for way, many in ((ladder.on_the_loop, 6), (ladder.in_thread, 18), (ladder.own_threads, 18)):
        (run,) = (await uploads(way, many=many)).runs
        figures = f"{many}", span(run.seconds), span(run.lookup), ", ".join(run.worked)
        add_row(rows, run.name, *figures, good=way is ladder.own_threads)
    return rows
