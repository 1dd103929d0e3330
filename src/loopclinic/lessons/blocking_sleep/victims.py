"""Who waited: the callers who had to retry, and the ones who did not."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10
from random import Random

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.load import Vitals

__all__ = ["victims"]

_ROWS = {"healthy": "did not retry", "flaky": "retried"}
_COLORS = {"healthy": "var(--lc-stall)", "flaky": "var(--lc-lag)"}


def victims(vitals: Vitals, *, alone: float) -> Drawing:
    """Draw a dot for each caller, at the time it waited; `alone` is what a request takes by itself.

    `vitals` has the groups `healthy` and `flaky`; times in seconds.
    """
    healthy = vitals.groups["healthy"]
    sentence = (
        f"{len(healthy.samples)} callers did not retry. Half of them waited {span(healthy.p50)} or "
        f"more, the last {span(healthy.max)}. By itself, each takes about {span(alone)}."
    )
    low = floor(log10(min(alone, vitals.latency.samples[0])) * 2) / 2
    high = max(ceil(log10(vitals.latency.max) * 2) / 2, low + 1)
    width, left, right, row, top = 740.0, 104.0, 24.0, 54.0, 8.0

    def at(seconds: float) -> float:
        share = (log10(max(seconds, 1e-9)) - low) / (high - low)
        return left + share * (width - left - right)

    bottom = top + row * len(_ROWS)
    drawn = []
    for power in range(ceil(low), floor(high) + 1):
        x = at(10.0**power)
        drawn.append(
            f"<path d='M{x:.1f} {top} V{bottom}' stroke='var(--lc-faint)'/><text class='lc-muted' "
            f"x='{x:.1f}' y='{bottom + 18}' text-anchor='middle'>{_tick(power)}</text>"
        )
    x = at(alone)
    drawn.append(
        f"<path d='M{x:.1f} {top} V{bottom}' stroke='var(--lc-text)' stroke-dasharray='2 3'/>"
        f"<text class='lc-muted' x='{x + 6:.1f}' y='{top + 6}'>alone</text>"
    )
    for index, (group, name) in enumerate(_ROWS.items()):
        if group in vitals.groups:
            samples = vitals.groups[group].samples
            drawn.append(_row(name, samples, _COLORS[group], at, top + row * (index + 0.5)))
    return Drawing(
        f"<p>{escape(sentence)}</p><svg class='lc-wide' viewBox='0 0 {width:.0f} {bottom + 24:.0f}' role='img' "
        f"aria-label='{escape(sentence)}'>{''.join(drawn)}</svg>"
        "<p class='lc-muted'>Each dot is one caller, at the time from when its request was due to "
        "its answer (log scale).</p>",
        sentence,
    )


def _row(name: str, samples: Sequence[float], color: str, at: object, y: float) -> str:
    assert callable(at)
    rng = Random(1)  # noqa: S311 - spreads dots
    dots = "".join(
        f"<circle cx='{at(sample):.1f}' cy='{y + rng.uniform(-15, 15):.1f}' r='3.6'/>"
        for sample in samples
    )
    return (
        f"<text x='0' y='{y}'>{escape(name)}</text><text class='lc-muted' x='0' y='{y + 16}'>"
        f"{len(samples)} callers</text><g fill='{color}' fill-opacity='.6'>{dots}</g>"
    )


def _tick(power: int) -> str:
    return f"{10**power} s" if power >= 0 else f"{10 ** (power + 3):g} ms"
