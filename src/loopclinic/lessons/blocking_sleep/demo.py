"""Before and after, live in the terminal: about fifteen seconds."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loopclinic.lessons.blocking_sleep import LESSON, ladder
from loopclinic.lessons.terminal import begin, end, table
from loopclinic.load import Load, Variant, Vitals, drive
from loopclinic.load.variant import Target
from loopclinic.probe import Probe
from loopclinic.scope.terminal import live
from loopclinic.servers import FaultyUpstream
from loopclinic.units import duration

__all__ = ["demo"]

LOAD = Load(rate=30, seconds=4, payloads=ladder.PAYLOADS, seed=1)


async def demo(console: Console) -> None:
    """Drive the blocking retry and the mended one on this process's own loop, and show both."""
    begin(
        console,
        LESSON,
        f"{LOAD.rate:g} callers a second for {LOAD.seconds:g} s, all on one event loop. "
        "One in ten has to try again, twice;\nthe other nine should never notice.",
    )
    async with FaultyUpstream(**ladder.DIALS) as upstream:
        setup = ladder.upstream_session(upstream.url)
        before = await _act(
            console, "Before", "time.sleep(backoff * 2**attempt)", ladder.blocking, setup
        )
        after = await _act(
            console,
            "After",
            "await asyncio.sleep(...), jitter, one deadline",
            ladder.bounded,
            setup,
        )
    console.print(_table(before, after))
    worst = before.worst
    if worst is not None and worst.line is not None:
        console.print(f"The line that everybody waited for: {worst.where}", highlight=False)
        console.print(Text(f"    {(worst.code or '').partition('  #')[0]}", style="italic"))
    end(console, LESSON)


async def _act(
    console: Console, title: str, code: str, target: Target, setup: ladder.Setup
) -> Vitals:
    with Probe() as probe, live(probe, console, f"{title}: {code}"):
        return await drive(Variant(target, setup=setup), LOAD)


def _table(before: Vitals, after: Vitals) -> Table:
    rows = table("", "before", "after", "alone")
    for group, name in (
        ("healthy", "callers who never had to try again"),
        ("flaky", "callers who tried three times"),
    ):
        alone = duration(ladder.own_time(group))
        rows.add_row(f"{name}, half of them", *_both(before, after, group, "p50"), alone)
        rows.add_row(f"{name}, slowest", *_both(before, after, group, "max"), alone)
    rows.add_row(
        "how late the loop was (p99)", duration(before.lag.p99), duration(after.lag.p99), ""
    )
    return rows


def _both(before: Vitals, after: Vitals, group: str, figure: str) -> tuple[str, str]:
    first, second = (duration(getattr(one.groups[group], figure)) for one in (before, after))
    return first, second
