"""Plots of vitals: the distribution of latencies, and lag over time."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from loopclinic.drawing.charts import Series, Strip, legend, seconds, strips
from loopclinic.drawing.lag_strip import lag_strip
from loopclinic.drawing.tables import Drawing
from loopclinic.load.vitals import Vitals
from loopclinic.units import count, duration

COLORS = tuple(f"var(--lc-{name})" for name in ("stall", "lag", "calm", "reset", "cell"))
"""Of variants, in turns; from the sixth on a line is dashed."""
_SHARES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)
_DECADES = [step * 10.0**power for power in range(-6, 4) for step in (1, 2, 5)]


def latency_plot(
    series: Mapping[str, Sequence[float]], *, bound: float | None = None, title: str = ""
) -> Drawing:
    """Draw the distribution of latencies: who waited how long, up to the slowest.

    `series` maps a name to its samples in seconds. The vertical axis gives each power of ten of
    the tail (90 %, 99 %, 99.9 %) the same height; `bound` (seconds) is what physics allows.
    """
    known = {name: sorted(samples) for name, samples in series.items() if samples}
    most = max(map(len, known.values()), default=10)
    lines, keys, words = [], [], []
    for number, (name, samples) in enumerate(known.items()):
        color, many = COLORS[number % len(COLORS)], len(samples)
        points = [(max(one, 1e-6), -math.log10(1 - n / many)) for n, one in enumerate(samples)]
        points.append((points[-1][0], math.log10(many) + 0.12))
        lines.append(Series(points, color, steps=True, dashed=number >= len(COLORS)))
        keys.append((color, name))
        words.append(f"{name}: {count(many, 'request')} of all rounds")
    if bound is not None:
        words.append(f"bound: {duration(bound)}")
    ends = [one for samples in known.values() for one in (samples[0], samples[-1])]
    ends = [max(one, 1e-6) for one in (*ends, *([bound] if bound else []))] or [0.001, 1.0]
    middle = math.sqrt(min(ends) * max(ends))  # at least a decade, or small differences look large
    low, high = min(min(ends) / 1.25, middle / 3.3), max(max(ends) * 1.25, middle * 3.3)
    ticks = [one for one in _DECADES if low <= one <= high]
    if len(ticks) > 8:
        ticks = [one for one in ticks if f"{one:e}".startswith("1")]
    alt = "Latency distribution. " + "; ".join(words) + "."
    chart = Strip(
        f"share answered within{f', {title}' if title else ''}",
        lines,
        top=math.log10(most) + 0.15,
        ticks=[-math.log10(1 - share) for share in _SHARES if 1 - share >= 0.5 / most],
        height=220,
        write=lambda y: f"{100 * (1 - 10**-y):.4g} %",
    )
    svg = strips(
        [chart],
        low=low,
        high=high,
        ticks=ticks,
        label="latency, from the moment a request was due (log scale)",
        log=True,
        grid=True,
        marks=[(bound, f"bound {duration(bound)}")] if bound else [],
        title=alt,
        write=seconds,
    )
    return Drawing(f"{legend(*keys, between=' &ensp; ')}{svg}", alt)


def lag_plot(series: Mapping[str, Vitals]) -> Drawing:
    """Draw the loop's lag over time, one strip a run, as the scope does."""
    html, words = "", []
    for name, vitals in series.items():
        stalls = [one.to_dict() for one in vitals.stalls if one.started + one.seconds > 0]
        found = f"{count(len(stalls), 'stall')}, worst {duration(vitals.lag.max)}"
        found = found if stalls else "no stall"
        found = "not watched" if math.isnan(vitals.lag.max) else found
        words.append(f"{name}: {found}")
        span = (0.0, vitals.makespan)
        strip = lag_strip(vitals.lag_series, stalls, span=span, title=f"Lag of {name}")
        html += f"<p><b>{escape(name)}</b> {escape(found)}</p>{strip}"
    return Drawing(html, "Lag of the loop over time. " + "; ".join(words) + ".")
