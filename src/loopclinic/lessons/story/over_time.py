"""Tasks and memory of a running piece of work: sampled over time, drawn as two charts."""

import asyncio
from collections.abc import Awaitable, Sequence
from math import inf
from time import perf_counter
from typing import Any, NamedTuple

import psutil

from loopclinic.drawing.charts import COLORS, Series, Strip, legend, scale, strips
from loopclinic.drawing.tables import Drawing
from loopclinic.lessons.core import Call
from loopclinic.probe import Probe

_ALARMING = 50.0
"""MB up to which the scale of memory reaches at least: less is noise."""
_kept: list[Call] = []
"""What is not done goes on to the end of the process: nothing else refers to it."""


class Watched(NamedTuple):
    """What a piece of work held, and how it ended; as JSON, a list that `Watched(*it)` takes."""

    series: Sequence[tuple[float, int, float]]
    """Seconds, tasks, MB: each beyond what there was before."""
    seconds: float
    ended: str
    """The rest of a sentence: `returned ...`, `raised ...`."""

    @property
    def tasks(self) -> int:
        """The most tasks at once."""
        return max((tasks for _, tasks, _ in self.series), default=0)

    @property
    def memory(self) -> float:
        """The most MB at once."""
        return max((memory for *_, memory in self.series), default=0.0)


async def watched(
    work: Awaitable[Any], *, seconds: float | None = None, every: float = 0.1
) -> Watched:
    """Await `work` for `seconds` at most, and sample tasks and memory meanwhile.

    What is not done by then goes on. `every` is in seconds: a census of a hundred thousand tasks
    takes tens of milliseconds.
    """
    process = psutil.Process()
    series: list[tuple[float, int, float]] = []
    with Probe() as probe:
        memory, tasks = process.memory_info().rss, probe.census().tasks
        began = perf_counter()

        def sample() -> None:
            # On the probe's thread: also while the loop is stuck.
            more = (process.memory_info().rss - memory) / 1e6
            series.append((perf_counter() - began, max(0, probe.census().tasks - tasks), more))

        call = Call(lambda: work)
        _kept.append(call)
        end = probe.subscribe(sample, every=every)
        try:
            ending = await call.within(inf if seconds is None else seconds)
        except asyncio.CancelledError:
            call.task.cancel()
            raise
        finally:
            end()
    return Watched(series, ending.seconds, str(ending))


def over_time(*rows: tuple[str, Watched]) -> Drawing:
    """Draw tasks and memory over time, a line for each row; its words are the legend."""
    colors = (COLORS["refused"], COLORS["accepted"], COLORS["blue"], COLORS["reset"])
    shown = tuple(zip(colors, rows, strict=False))
    most = max(1, *(held.tasks for _, held in rows))
    memory = max(_ALARMING, *(1.1 * held.memory for _, held in rows))
    powers = [10.0**power for power in range(7) if 10**power <= 3 * most]
    tasks = [Series([(t, max(n, 1)) for t, n, _ in it.series], color) for color, (_, it) in shown]
    held = [Series([(t, max(mb, 0)) for t, _, mb in it.series], color) for color, (_, it) in shown]
    words = [words for words, _ in rows]
    end = max(0.1, *(it.series[-1][0] for _, it in rows if it.series))
    charts = [
        Strip("tasks", tasks, 3 * powers[-1], bottom=1, log=True, ticks=powers),
        Strip("memory, MB more than before", held, memory, ticks=scale(memory)),
    ]
    across: dict[str, Any] = {"low": 0, "high": end, "ticks": scale(end, 8), "label": "seconds"}
    svg = strips(charts, title=" ".join(words), **across)
    said = legend(*((color, words) for color, (words, _) in shown))
    return Drawing(said + svg, "\n".join(words))
