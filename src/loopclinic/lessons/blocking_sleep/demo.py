"""Terminal demo of lesson 01: the blocking retry against the fixed one, in about fifteen seconds."""

from rich.console import Console, RenderableType
from rich.text import Text

from loopclinic import Load, Vitals, drive
from loopclinic.lessons.blocking_sleep import ladder
from loopclinic.lessons.story.demo_output import table
from loopclinic.probe import Probe
from loopclinic.scope.terminal import live
from loopclinic.servers import FaultyUpstream
from loopclinic.units import duration

LOAD = Load(rate=30, seconds=4, payloads=ladder.PAYLOADS, seed=1)

SCENE = (
    f"{LOAD.rate:g} callers a second for {LOAD.seconds:g} s, all on one event loop. "
    "One in ten has to try again, twice;\nthe other nine should never notice."
)


async def demo(console: Console) -> RenderableType:
    """Drive the blocking retry and the fixed one on this process's own loop, and show both."""
    async with FaultyUpstream(**ladder.DIALS) as upstream:
        before = await _act(console, "Before: time.sleep(...)", ladder.blocking, upstream.url)
        title = "After: await asyncio.sleep(...), jitter, one deadline"
        after = await _act(console, title, ladder.bounded, upstream.url)
    rows = table("", "before", "after", "alone")
    for group, name in (
        ("healthy", "callers who never had to try again"),
        ("flaky", "callers who tried three times"),
    ):
        alone = duration(ladder.own_time(group))
        both = [vitals.groups[group] for vitals in (before, after)]
        rows.add_row(f"{name}, half of them", *(duration(one.p50) for one in both), alone)
        rows.add_row(f"{name}, slowest", *(duration(one.max) for one in both), alone)
    late = (duration(vitals.lag.p99) for vitals in (before, after))
    rows.add_row("how late the loop was (p99)", *late, "")
    console.print(rows)
    worst = before.worst
    if worst is None or worst.line is None:
        return ""
    console.print(f"The line that everybody waited for: {worst.where}", highlight=False)
    return Text(f"    {(worst.code or '').partition('  #')[0]}", style="italic")


async def _act(console: Console, title: str, rung: ladder.Transcribe, url: str) -> Vitals:
    with Probe() as probe, live(probe, console, title):
        return await drive(ladder.served(rung, url), LOAD)
