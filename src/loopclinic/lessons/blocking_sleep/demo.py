"""Before and after, live in the terminal: about fifteen seconds."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from loopclinic.lessons.blocking_sleep import LESSON, ladder
from loopclinic.load import Load, Variant, Vitals, drive
from loopclinic.load.variant import Target
from loopclinic.load.vitals import duration
from loopclinic.probe import Probe, Stall
from loopclinic.servers import FaultyUpstream

__all__ = ["demo"]

LOAD = Load(rate=30, seconds=4, payloads=ladder.PAYLOADS, seed=1)
_STUCK, _FREE = "bold #D55E00", "bold #009E73"  # Okabe-Ito: told apart by everybody
_BARS = " ▁▂▃▄▅▆▇█"
_TICK = 0.1


async def demo(console: Console) -> None:
    """Drive the blocking retry and the mended one on this process's own loop, and show both."""
    console.print()
    console.print(Text(f"{LESSON.number}  {LESSON.title}", style="bold"))
    console.print(
        f"{LOAD.rate:g} callers a second for {LOAD.seconds:g} s, all on one event loop. "
        "One in ten has to try again, twice;\nthe other nine should never notice.\n"
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
    worst = max(before.stalls, key=lambda stall: stall.seconds, default=None)
    if worst is not None and worst.line is not None:
        console.print(f"The line that everybody waited for: {worst.where}", highlight=False)
        console.print(Text(f"    {(worst.code or '').partition('  #')[0]}", style="italic"))
    console.print(
        f"\nMend it yourself: labs/{LESSON.name}.py, judged by "
        f"[bold]loopclinic check {LESSON.number}[/bold].\n",
        highlight=False,
    )


async def _act(
    console: Console, title: str, code: str, target: Target, setup: ladder.Setup
) -> Vitals:
    with Probe() as probe, _live(console, probe, f"{title}: {code}"):
        return await drive(Variant(target, setup=setup), LOAD)


@contextmanager
def _live(console: Console, probe: Probe, title: str) -> Iterator[None]:
    pulse = _Pulse(probe, title)
    # Refreshed from the probe's thread, so that it moves while the loop is stuck.
    with Live(pulse, console=console, auto_refresh=False) as live:

        def refresh() -> None:
            pulse.tick()
            live.refresh()

        unsubscribe = probe.subscribe(refresh, every=_TICK)
        try:
            yield
        finally:
            unsubscribe()
            pulse.end()
            live.refresh()


class _Pulse:
    """The last seconds of a loop, as bars of lag and one line of words."""

    def __init__(self, probe: Probe, title: str) -> None:
        self._probe = probe
        self._title = title
        self._lags: list[float] = []
        self._last = probe.snapshot()
        self._stuck: Stall | None = None
        self._over = False

    def tick(self) -> None:
        """Take the worst lag since the last tick; called on the probe's thread."""
        now = self._probe.snapshot()
        self._lags.append(now.since(self._last).lag.max)
        self._last = now
        self._stuck = self._probe.current()

    def end(self) -> None:
        """Show the whole act from here on, and not the moment."""
        self._stuck = None
        self._over = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        width = max(10, min(options.max_width - 4, int(5.5 / _TICK)))
        bars = Text(no_wrap=True)
        for lag in self._lags[-width:]:
            bars.append(_bar(lag), style=_STUCK if lag >= self._probe.threshold else _FREE)
        yield Panel(
            Text("\n").join([bars, self._words()]),
            title=self._title,
            title_align="left",
            box=box.ROUNDED,
            border_style="dim",
        )

    def _words(self) -> Text:
        worst = max(self._lags, default=0.0)
        if self._over:
            stuck = sum(stall.seconds for stall in self._probe.stalls)
            if not stuck:
                return Text(f"never stuck; late by {duration(worst)} at most", style=_FREE)
            times = f"stuck {len(self._probe.stalls)} times, {duration(stuck)} in all"
            return Text(times, style=_STUCK)
        if self._stuck is None:
            return Text("the loop turns", style=_FREE)
        stall = self._stuck
        where = f" at {stall.where}" if stall.line is not None else ""
        words = Text(f"STUCK for {duration(stall.seconds)}{where}", style=_STUCK)
        return words.append(f"  {stall.code}", style="not bold") if stall.code else words


def _bar(lag: float) -> str:
    """Return a bar for 1 ms (lowest) to 1 s (full), by powers of ten."""
    step = 0
    for step, limit in enumerate((0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2), start=1):
        if lag < limit:
            return _BARS[step]
    return _BARS[step + 1]


def _table(before: Vitals, after: Vitals) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("before", "after", "alone"):
        table.add_column(name, justify="right")
    for group, name in (
        ("healthy", "callers who never had to try again"),
        ("flaky", "callers who tried three times"),
    ):
        alone = duration(ladder.own_time(group))
        table.add_row(f"{name}, half of them", *_both(before, after, group, "p50"), alone)
        table.add_row(f"{name}, slowest", *_both(before, after, group, "max"), alone)
    table.add_row(
        "how late the loop was (p99)", duration(before.lag.p99), duration(after.lag.p99), ""
    )
    return table


def _both(before: Vitals, after: Vitals, group: str, figure: str) -> tuple[str, str]:
    first, second = (duration(getattr(one.groups[group], figure)) for one in (before, after))
    return first, second
