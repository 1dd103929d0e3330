"""Terminal demo of lesson 04: a gather of all posts against workers on one queue, in about ten seconds."""

import asyncio

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from loopclinic.lessons.story.demo_output import BAD, GOOD, table
from loopclinic.lessons.story.over_time import watched
from loopclinic.lessons.unbounded_gather import ladder, story
from loopclinic.lessons.unbounded_gather.posts import due
from loopclinic.servers import Counts

POSTS = 600
_TICK = 0.1

SCENE = (
    f"{POSTS} posts are due. The service works on {story.CAPACITY} at a time, {story.LATENCY * 1000:.0f} ms "
    "each, and has a short queue.\nWhat comes beyond that is answered 429; a client that goes on "
    "is cut off."
)


async def demo(console: Console) -> RenderableType:
    """Publish the same posts all at once, then at the service's own pace, and show both."""
    before = await _act(console, "Before", "gather(*all)", ladder.publish_all)
    after = await _act(console, "After", f"{story.CAPACITY} workers on one queue", ladder.polite)
    rows = table("", before.name, after.name)
    for name, figure in (
        ("posts published", lambda run: f"{run.accepted} of {POSTS}"),
        ("refused or reset", lambda run: str(run.refused + run.counts.resets)),
        ("tasks at most", lambda run: str(run.held.tasks)),
        (f"share of the bound, {story.BOUND:.0f}/s", _share),
    ):
        rows.add_row(name, figure(before), figure(after))
    console.print(rows)
    done = f"The first was done after {before.held.seconds:.1f} s"
    return f"{done}, and told its caller nothing: it {before.held.ended}."


def _share(run: story.Run) -> str:
    return f"{POSTS / run.held.seconds / story.BOUND:.0%}" if run.accepted == POSTS else "-"


async def _act(console: Console, title: str, what: str, publish: story.Publisher) -> story.Run:
    width = max(10, min(console.width - 34, 60))
    async with story.connected() as (upstream, session):
        work = watched(publish(session, due(POSTS), limit=story.CAPACITY), every=0.02)
        call = asyncio.ensure_future(work)
        with Live(console=console, auto_refresh=False) as live:
            try:
                while not call.done():
                    await asyncio.wait([call], timeout=_TICK)
                    counts = await upstream.counts()
                    live.update(_panel(f"{title}: {what}", counts, width), refresh=True)
            finally:
                call.cancel()
        return story.Run(title, POSTS, POSTS, await call, await upstream.counts())


def _panel(title: str, counts: Counts, width: int) -> Panel:
    text = Text(no_wrap=True)
    for name, number, style, block in (
        ("published", counts.by_status.get(200, 0), GOOD, "█"),
        ("refused", counts.by_status.get(429, 0), BAD, "▒"),
        ("reset", counts.resets, BAD, "░"),
    ):
        text.append(f"{name:<10}").append(block * round(width * number / POSTS), style)
        text.append(f" {number}\n", style if number else "dim")
    text.right_crop(1)
    return Panel(text, title=title, title_align="left", border_style="dim")
