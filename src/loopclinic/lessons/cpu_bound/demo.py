"""Terminal demo of lesson 08: logins computed on the loop, in threads or in processes, in about ten seconds."""

from rich.console import Console
from rich.text import Text

from loopclinic.lessons.cpu_bound import LESSON, ladder
from loopclinic.lessons.cpu_bound.story import lateness, storm
from loopclinic.lessons.story.demo_output import BAD, GOOD, begin, end, table
from loopclinic.units import span


async def demo(console: Console) -> None:
    """Let many log in and sign up at once: on the loop, in threads, in processes where it must be."""
    begin(
        console,
        LESSON,
        "40 people log in and 10 sign up. A login is a hash by bcrypt, which lets go of\n"
        "the GIL; a sign-up counts a password's strength in pure Python.",
    )
    rows = table("", "computed per s", "loop late", "others wait up to")
    for way in (ladder.on_loop, ladder.to_threads, ladder.by_gil):
        run = await storm(way)
        name = Text(way.__name__, GOOD if way is ladder.by_gil else BAD)
        rows.add_row(name, f"{run.rate:.0f}", lateness(run.late), span(run.other))
    console.print(rows)
    end(console, LESSON)
