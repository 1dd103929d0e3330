"""Terminal demo of lesson 13: half-sync billing under load against the migrated one, in twenty seconds."""

from rich.console import Console, RenderableType
from rich.text import Text

from loopclinic import Load, drive
from loopclinic.lessons.standardize.ladder import WAYS, HalfSync, Migrated, served
from loopclinic.lessons.standardize.story import harbor, outcomes, survey
from loopclinic.lessons.story.demo_output import BAD, GOOD, table
from loopclinic.units import duration

_LOAD = Load(rate=60, seconds=2, arrivals="uniform")

SCENE = "A code base of 69 files, half of it asynchronous; its linter is content."


async def demo(console: Console) -> RenderableType:
    """Search a code base in four ways; then put a package under load as it was and migrated."""
    console.print(str(await survey()), highlight=False)
    console.print("\nIts billing under load, as it is and migrated ...\n")
    dsn = await harbor()
    rows = table("60 payments a second", "loop busy", "lag p99", "slowest payment")
    for way in (HalfSync, Migrated):
        vitals = await drive(served(way, dsn), _LOAD)
        lag = vitals.lag.p99
        rows.add_row(
            way.__name__,
            f"{vitals.utilization or 0:.0%}",
            Text(duration(lag), style=GOOD if lag < 0.1 else BAD),  # what a caller notices
            duration(vitals.latency.max),
        )
    console.print(rows)
    console.print("Two payments of all that is open, at once:\n")
    return (await outcomes(*WAYS, dsn=dsn)).text
