"""Before and after, live in the terminal: about twenty seconds."""

from rich.console import Console
from rich.text import Text

from loopclinic.lessons.standardize import LESSON
from loopclinic.lessons.standardize.ladder import WAYS, HalfSync, Migrated
from loopclinic.lessons.standardize.scenes import examined, harbor, opened, served, survey
from loopclinic.lessons.terminal import BAD, GOOD, begin, end, table
from loopclinic.load import Load, drive
from loopclinic.units import duration

__all__ = ["demo"]

_LOAD = Load(rate=60, seconds=2, arrivals="uniform")


async def demo(console: Console) -> None:
    """Search a code base in four ways; then put a package under load as it was and migrated."""
    begin(
        console, LESSON, "A code base of 69 files, half of it asynchronous; its linter is content."
    )
    found = await survey()
    for line in str(found).splitlines():
        console.print(line, highlight=False)
    console.print("\nIts billing under load, as it is and migrated ...\n")
    dsn = await harbor()
    rows = table("60 payments a second", "loop busy", "lag p99", "slowest payment")
    for way in (HalfSync, Migrated):
        vitals = await drive(served(way, dsn), _LOAD)
        lag = vitals.lag.p99
        rows.add_row(
            way.__name__,
            f"{vitals.utilization or 0:.0%}",
            Text(duration(lag), style=GOOD if lag < 0.1 else BAD),  # noqa: PLR2004 - what a caller notices
            duration(vitals.latency.max),
        )
    console.print(rows)
    console.print("Two payments of all that is open, at once:\n")
    console.print((await examined(*WAYS, dsn=dsn, opened=opened)).text, highlight=False)
    end(console, LESSON)
