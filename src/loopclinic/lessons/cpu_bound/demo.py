"""Terminal demo of lesson 08: logins computed on the loop, in threads or in processes, in about ten seconds."""

from rich.console import Console, RenderableType

from loopclinic.lessons.cpu_bound import ladder
from loopclinic.lessons.cpu_bound.story import lateness, storm
from loopclinic.lessons.story.demo_output import add_row, table
from loopclinic.units import span

SCENE = (
    "40 people log in and 10 sign up. A login is a hash by bcrypt, which lets go of\n"
    "the GIL; a sign-up counts a password's strength in pure Python."
)


async def demo(console: Console) -> RenderableType:
    """Let many log in and sign up at once: on the loop, in threads, in processes where it must be."""
    rows = table("", "computed per s", "loop late", "others wait up to")
    for way in (ladder.on_loop, ladder.to_threads, ladder.by_gil):
        run = await storm(way)
        figures = f"{run.rate:.0f}", lateness(run.late), span(run.other)
        add_row(rows, way.__name__, *figures, good=way is ladder.by_gil)
    return rows
