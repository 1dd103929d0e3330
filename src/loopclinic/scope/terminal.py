"""Scope in a terminal: a few seconds of lag as bars, and one line of words."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from loopclinic.lag_bars import FREE, STUCK, bar
from loopclinic.probe import Probe, Stall
from loopclinic.units import count, duration

_TICK = 0.1  # seconds
_SPAN = 5.5  # seconds of bars at most


@contextmanager
def live(probe: Probe, console: Console, title: str) -> Iterator[None]:
    """Show a running probe under `title` while the block lasts, and what came of it afterwards.

    Drawn from the probe's thread, so that it moves while the loop is stuck.
    """
    pulse = _Pulse(probe, title)
    with Live(pulse, console=console, auto_refresh=False) as view:

        def refresh() -> None:
            pulse.tick()
            view.refresh()

        unsubscribe = probe.subscribe(refresh, every=_TICK)
        try:
            yield
        finally:
            unsubscribe()
            pulse.end()
            view.refresh()


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
        """Record the worst lag since the last tick; called on the probe's thread."""
        now = self._probe.snapshot()
        self._lags.append(now.since(self._last).lag.max)
        self._last = now
        self._stuck = self._probe.current()

    def end(self) -> None:
        """Show the whole run from now on instead of the moment."""
        self._stuck = None
        self._over = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        width = max(10, min(options.max_width - 4, int(_SPAN / _TICK)))
        bars = Text(no_wrap=True)
        for lag in self._lags[-width:]:
            bars.append(bar(lag), style=STUCK if lag >= self._probe.threshold else FREE)
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
                return Text(f"never stuck; late by {duration(worst)} at most", style=FREE)
            times = f"stuck {count(len(self._probe.stalls), 'time')}, {duration(stuck)} in all"
            return Text(times, style=STUCK)
        if self._stuck is None:
            return Text("the loop turns", style=FREE)
        stall = self._stuck
        where = f" at {stall.where}" if stall.line is not None else ""
        words = Text(f"STUCK for {duration(stall.seconds)}{where}", style=STUCK)
        return words.append(f"  {stall.code}", style="not bold") if stall.code else words
