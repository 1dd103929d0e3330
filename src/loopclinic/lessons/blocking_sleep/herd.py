"""The thundering herd: callers who failed together, and when they come back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from html import escape
from typing import NamedTuple

import aiohttp

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.servers import FaultyUpstream

__all__ = ["herd"]

Transcribe = Callable[[aiohttp.ClientSession, bytes], Awaitable[str]]

CALLERS = 40
_BIN = 0.02  # seconds a column


class _Run(NamedTuple):
    name: str
    arrivals: list[float]
    refused: int
    gave_up: int

    @property
    def busiest(self) -> int:
        """Return the most requests in one column, the common start left out."""
        later = [int(moment / _BIN) for moment in self.arrivals if moment > 2 * _BIN]
        return max((later.count(column) for column in set(later)), default=0)


async def herd(*ways: Transcribe) -> Drawing:
    """Let 40 callers fail together, each way, and draw when they come back, as the service saw it.

    The service sends everybody away once; then it serves four requests at a time, 20 ms each, and
    answers one more by 429.
    """
    runs = []
    async with FaultyUpstream() as upstream:
        for way in ways:
            await upstream.reset()
            await upstream.set(capacity=4, latency=0.02, fail_first=1, retry_after=0)
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(upstream.url, connector=connector) as session:
                clips = [f"{way.__name__} {number}".encode() for number in range(CALLERS)]
                found = await asyncio.gather(
                    *(way(session, clip) for clip in clips), return_exceptions=True
                )
            counts = await upstream.counts()
            moments = sorted(moment for times in counts.arrivals.values() for moment in times)
            start = moments[0]
            runs.append(
                _Run(
                    way.__name__,
                    [moment - start for moment in moments],
                    counts.by_status.get(429, 0),
                    sum(isinstance(one, BaseException) for one in found),
                )
            )
    return _drawn(runs)


def _drawn(runs: Sequence[_Run]) -> Drawing:
    width, left, right, row = 740.0, 4.0, 4.0, 88.0
    end = max(1.0, max(run.arrivals[-1] for run in runs) + 4 * _BIN)
    columns = int(end / _BIN) + 1
    tallest = max(run.arrivals.count(0) for run in runs)
    counts = []
    for run in runs:
        bins = [0] * columns
        for moment in run.arrivals:
            bins[int(moment / _BIN)] += 1
        counts.append(bins)
    tallest = max(max(bins) for bins in counts)
    step = (width - left - right) / columns
    drawn, sentences = [], []
    for index, (run, bins) in enumerate(zip(runs, counts, strict=True)):
        floor = row * (index + 1)
        sentence = (
            f"{run.name}: {len(run.arrivals)} requests for {CALLERS} callers, {run.refused} of them "
            f"refused; up to {run.busiest} retries within {span(_BIN)}; {run.gave_up} callers gave up."
        )
        sentences.append(sentence)
        color = "var(--lc-stall)" if index == 0 else "var(--lc-lag)"
        bars = "".join(
            f"<rect x='{left + column * step:.1f}' y='{floor - height:.1f}' "
            f"width='{max(step - 0.6, 1):.1f}' height='{height:.1f}'/>"
            for column, count in enumerate(bins)
            if count and (height := (row - 28) * count / tallest)
        )
        drawn.append(
            f"<g fill='{color}'>{bars}</g><path d='M{left} {floor} H{width - right}' "
            f"stroke='var(--lc-faint)'/><text x='{width - right}' y='{floor - row + 24}' "
            f"text-anchor='end'>{escape(run.name)}</text>"
        )
    bottom = row * len(runs)
    for tenth in range(0, int(end * 10) + 1, 2):
        x = left + tenth / 10 / _BIN * step
        anchor = "start" if tenth == 0 else "middle"
        drawn.append(
            f"<text class='lc-muted' x='{x:.1f}' y='{bottom + 17}' text-anchor='{anchor}'>"
            f"{tenth / 10:g} s</text>"
        )
    words = "".join(f"<p>{_strong(sentence)}</p>" for sentence in sentences)
    return Drawing(
        f"<svg class='lc-wide' viewBox='0 0 {width:.0f} {bottom + 24:.0f}' role='img' "
        f"aria-label='{escape(' '.join(sentences))}'>{''.join(drawn)}</svg><p class='lc-muted'>Requests "
        f"as they came to the service, {span(_BIN)} a column.</p>{words}",
        "\n".join(sentences),
    )


def _strong(sentence: str) -> str:
    name, _, rest = sentence.partition(":")
    return f"<code>{escape(name)}</code>:{escape(rest)}"
