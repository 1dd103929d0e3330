"""Terminal demo of lesson 06: uploads on the loop, in shared threads, and in threads of their own."""

from rich.console import Console
from rich.text import Text

from loopclinic.lessons.story.demo_output import BAD, GOOD, begin, end, table
from loopclinic.lessons.sync_sdk import LESSON, ladder
from loopclinic.lessons.sync_sdk.story import uploads
from loopclinic.units import span


async def demo(console: Console) -> None:
    """Store files in each way, and look up the name of a host meanwhile."""
    begin(
        console,
        LESSON,
        "Six files are stored by MinIO's SDK in a real S3 server, half a second away; then\n"
        "18 in threads. Right after they began, somebody looks up the name of a host.",
    )
    rows = table("", "uploads", "done after", "the lookup waited", "threads")
    for way, many in ((ladder.on_the_loop, 6), (ladder.in_thread, 18), (ladder.own_threads, 18)):
        (run,) = (await uploads(way, many=many)).runs
        style = GOOD if way is ladder.own_threads else BAD
        threads = ", ".join(run.worked)
        name = Text(run.name, style)
        rows.add_row(name, f"{many}", span(run.seconds), span(run.lookup), threads)
    console.print(rows)
    end(console, LESSON)
