"""Before and after, live in the terminal: about ten seconds."""

import asyncio
from time import perf_counter

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from loopclinic.lessons.terminal import BAD, GOOD, begin, end, table
from loopclinic.lessons.unbounded_gather import LESSON, ladder
from loopclinic.lessons.unbounded_gather.posts import due
from loopclinic.lessons.unbounded_gather.service import (
    BOUND,
    CAPACITY,
    LATENCY,
    Publisher,
    Run,
    connected,
)
from loopclinic.servers import Counts

__all__ = ["demo"]

POSTS = 600
_TICK = 0.1


async def demo(console: Console) -> None:
    """Publish the same posts all at once, then at the service's own pace, and show both."""
    begin(
        console,
        LESSON,
        f"{POSTS} posts are due. The service works on {CAPACITY} at a time, {LATENCY * 1000:.0f} ms "
        "each, and has a short queue.\nWhat comes beyond that is answered 429; who does not hear it "
        "is cut off.",
    )
    before = await _act(console, "Before", "gather(*all)", ladder.publish_all)
    after = await _act(console, "After", f"{CAPACITY} workers on one queue", ladder.polite)
    console.print(_table(before, after))
    console.print(
        f"The first was done after {before.seconds:.1f} s, and told its caller nothing: it "
        f"{before.ended}.",
        highlight=False,
    )
    end(console, LESSON)


async def _act(console: Console, title: str, code: str, publish: Publisher) -> Run:
    async with connected() as (upstream, session):
        tally = _Tally(f"{title}: {code}")
        began = perf_counter()
        call = asyncio.ensure_future(publish(session, due(POSTS), limit=CAPACITY))
        tasks = 0
        with Live(tally, console=console, auto_refresh=False) as live:
            try:
                while not call.done():
                    await asyncio.wait([call], timeout=_TICK)
                    tasks = max(tasks, len(asyncio.all_tasks()) - 1)
                    seconds = perf_counter() - began
                    tally.take(await upstream.counts(), seconds)
                    live.refresh()
            finally:
                call.cancel()
        value = await call
        counts = await upstream.counts()
    summary = f"{value['published']} published" if value else "None"
    return Run.of(
        title, counts, posts=POSTS, seconds=seconds, ended=f"returned {summary}", tasks=tasks
    )


class _Tally:
    """What the service has answered so far."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._accepted = self._refused = self._reset = 0
        self._seconds = 0.0

    def take(self, counts: Counts, seconds: float) -> None:
        """Take the service's counts."""
        self._accepted = counts.by_status.get(200, 0)
        self._refused = counts.by_status.get(429, 0)
        self._reset = counts.resets
        self._seconds = seconds

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        width = max(10, min(options.max_width - 34, 60))
        lines = [
            self._line("published", self._accepted, GOOD, "█", width),
            self._line("refused", self._refused, BAD, "▒", width),
            self._line("reset", self._reset, BAD, "░", width),
            Text(f"{self._seconds:.1f} s", style="dim"),
        ]
        yield Panel(
            Text("\n").join(lines),
            title=self._title,
            title_align="left",
            box=box.ROUNDED,
            border_style="dim",
        )

    @staticmethod
    def _line(name: str, number: int, style: str, bar: str, width: int) -> Text:
        text = Text(f"{name:<10}", no_wrap=True)
        text.append(bar * round(width * number / POSTS), style=style)
        return text.append(f" {number}", style=style if number else "dim")


def _table(*runs: Run) -> Table:
    rows = table("", *(run.name for run in runs))
    rows.add_row("posts published", *(f"{run.accepted} of {run.posts}" for run in runs))
    rows.add_row("refused or reset", *(f"{run.refused + run.reset}" for run in runs))
    rows.add_row("tasks at most", *(f"{run.tasks}" for run in runs))
    rows.add_row(
        f"share of the bound, {BOUND:.0f}/s",
        *(f"{run.rate / BOUND:.0%}" if run.accepted == run.posts else "-" for run in runs),
    )
    return rows
