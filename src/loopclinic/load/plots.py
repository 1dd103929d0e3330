"""Plots of vitals: latency distributions, and lag over time. Figures only, never pyplot.

Colors are Okabe and Ito's, told apart by line style too. The background is transparent and the
text mid-gray, which reads on white and on dark; `dark=True` or `False` gives the full contrast of
one of them.
"""

import io
import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from loopclinic.load.vitals import Vitals
from loopclinic.units import duration

__all__ = ["Picture", "lag_plot", "latency_plot"]

# Okabe & Ito, "Color Universal Design" (2008), without black and yellow.
_COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DARK = {"#0072B2": "#4FA3D9"}  # the blue alone is too dim on a dark page
_STYLES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (6, 1.5, 1.2, 1.5)), (0, (1.2, 1.2)))
_STALL = "#D55E00"
_INKS = {None: "#7C7C7C", False: "#3B3B3B", True: "#C8C8C8"}
_DECADES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)
_FLOOR = 1e-4


class Picture(Figure):
    """A matplotlib figure that shows itself in a notebook, without pyplot; `alt` says it in words."""

    alt = ""

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=192, transparent=True)
        width, height = (round(inches * 96) for inches in self.get_size_inches())
        size = {"width": width, "height": height}
        return {"image/png": buffer.getvalue(), "text/plain": self.alt}, {"image/png": size}

    def to_svg(self) -> str:
        """Return the figure as an SVG element with its description."""
        import matplotlib as mpl  # noqa: PLC0415 - for its settings alone

        buffer = io.StringIO()
        # Text as text: it can be read out, found and copied, and takes a tenth of the space.
        with mpl.rc_context({"svg.hashsalt": self.alt, "svg.fonttype": "none"}):
            nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            self.savefig(buffer, format="svg", transparent=True, metadata=nothing)
        svg = buffer.getvalue()
        return svg[svg.index("<svg") :]


def latency_plot(
    series: Mapping[str, Sequence[float]],
    *,
    bound: float | None = None,
    bound_label: str = "bound",
    title: str = "",
    dark: bool | None = None,
) -> Picture:
    """Draw the distribution of latencies: who waited how long, up to the slowest.

    `series` maps a name to its samples in seconds. The vertical axis gives each power of ten of
    the tail (90 %, 99 %, 99.9 %) the same height; `bound` (seconds) is what physics allows.
    """
    ink = _INKS[dark]
    figure = Picture(figsize=(7.2, 3.9), layout="constrained")
    axes = figure.add_subplot()
    _dress(axes, ink)
    most, lowest, highest = 10, np.inf, 0.0
    words = []
    for (name, samples), color, style in zip(series.items(), _colors(dark), cycle(_STYLES)):
        ordered = np.maximum(np.sort(np.asarray(samples, dtype=float)), 1e-6)
        if not len(ordered):
            continue
        count = len(ordered)
        beyond = 1 - np.arange(count) / count  # the share that waited at least this long
        p99 = ordered[max(0, int(np.ceil(0.99 * count)) - 1)]
        label = f"{name}   p99 {duration(p99)}"
        axes.plot(
            np.append(ordered, ordered[-1]),
            np.append(-np.log10(beyond), np.log10(count) + 0.12),
            color=color,
            linestyle=style,
            linewidth=2.0,
            label=label,
            drawstyle="steps-post",
            solid_capstyle="butt",
        )
        words.append(f"{name}: median {duration(ordered[(count - 1) // 2])}, p99 {duration(p99)}")
        most = max(most, count)
        lowest, highest = min(lowest, ordered[0]), max(highest, ordered[-1])
    if bound is not None:
        lowest, highest = min(lowest, bound), max(highest, bound)
    _log_seconds(axes, lowest, highest)
    shares = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999]
    shown = [share for share in shares if 1 - share >= 0.5 / most]
    axes.yaxis.set_major_locator(FixedLocator([-np.log10(1 - share) for share in shown]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * (1 - 10**-y):.4g} %"))
    axes.set_ylim(-0.04, np.log10(most) + 0.2)
    axes.set_ylabel("share answered within", color=ink)
    axes.set_xlabel("latency, from the moment a request was due", color=ink)
    if bound is not None:
        axes.axvline(bound, color=ink, linewidth=1.6, linestyle=(0, (1, 1.2)))
        axes.annotate(
            f"{bound_label} {duration(bound)}",
            (bound, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),  # above the plot, where no curve runs through it
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=ink,
            fontsize=9,
        )
        words.append(f"{bound_label}: {duration(bound)}")
    _legend(axes, ink, title, 1.0 if bound is None else 1.055)
    figure.alt = "Latency distribution. " + "; ".join(words) + "."
    return figure


def lag_plot(series: Mapping[str, Vitals], *, dark: bool | None = None) -> Picture:
    """Draw the loop's lag over time, one strip a run; each stall is a diamond at its length.

    The bar before a diamond is the time during which the loop was stuck.
    """
    ink = _INKS[dark]
    rows = max(1, len(series))
    figure = Picture(figsize=(7.2, 1.1 + 1.75 * rows), layout="constrained")
    strips = figure.subplots(rows, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    line = dict(zip(_COLORS, _colors(dark), strict=False))["#0072B2"]
    worst = max([0.1, *(v.lag.max for v in series.values() if not math.isnan(v.lag.max))])
    words = []
    for axes, (name, vitals) in zip(strips, series.items(), strict=False):
        _dress(axes, ink)
        at = [point[0] for point in vitals.lag_series]
        lag = [max(point[1], _FLOOR) for point in vitals.lag_series]
        axes.fill_between(at, _FLOOR, lag, color=line, alpha=0.18, linewidth=0)
        axes.plot(at, lag, color=line, linewidth=1.4, label="lag")
        axes.set_yscale("log")
        stalls = [stall for stall in vitals.stalls if stall.started + stall.seconds > 0]
        axes.hlines(
            [stall.seconds for stall in stalls],
            [max(0.0, stall.started) for stall in stalls],
            [stall.started + stall.seconds for stall in stalls],
            color=_STALL,
            linewidth=1.6,
        )
        axes.plot(
            [stall.started + stall.seconds for stall in stalls],
            [stall.seconds for stall in stalls],
            "D",
            color=_STALL,
            markersize=5,
            label="stall",
        )
        count = f"{len(stalls)} stall" + "s" * (len(stalls) != 1)
        found = f"{count}, worst {duration(vitals.lag.max)}" if stalls else "no stall"
        found = "not watched" if math.isnan(vitals.lag.max) else found
        axes.set_title(f"{name}   {found}", loc="left", color=ink, fontsize=10)
        axes.set_ylim(_FLOOR * 0.9, worst * 2.2)
        _ticks(axes.yaxis, _FLOOR, worst * 2)
        axes.set_ylabel("lag", color=ink)
        words.append(f"{name}: {found}")
    strips[-1].set_xlabel("seconds since the load began", color=ink)
    strips[-1].set_xlim(left=0)
    figure.alt = "Lag of the loop over time. " + "; ".join(words) + "."
    return figure


def _colors(dark: bool | None) -> "cycle[str]":
    return cycle(_COLORS if dark is False else [_DARK.get(color, color) for color in _COLORS])


def _dress(axes: Axes, ink: str) -> None:
    axes.patch.set_alpha(0)
    axes.figure.patch.set_alpha(0)
    axes.grid(visible=True, which="major", color=ink, alpha=0.22, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(ink)
        spine.set_linewidth(0.8)
    axes.tick_params(which="both", colors=ink, labelsize=9)
    axes.tick_params(which="minor", length=2)


def _log_seconds(axes: Axes, lowest: float, highest: float) -> None:
    if not np.isfinite(lowest):
        lowest, highest = 1e-3, 1.0
    if highest < 10 * lowest:  # at least a decade, or small differences look large
        middle = np.sqrt(lowest * highest)
        lowest, highest = min(lowest, middle / 3.3), max(highest, middle * 3.3)
    axes.set_xscale("log")
    axes.set_xlim(lowest / 1.25, highest * 1.35)
    _ticks(axes.xaxis, lowest / 1.25, highest * 1.35)


def _ticks(axis: Any, lowest: float, highest: float) -> None:
    few = highest / lowest < 1000  # noqa: PLR2004 - three decades: label 2 and 5 too
    steps = (1, 2, 5) if few else (1,)
    places = [
        decade * step for decade in _DECADES for step in steps if lowest <= decade * step <= highest
    ]
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FuncFormatter(lambda x, _: _unit(x)))
    axis.set_minor_locator(LogLocator(subs=range(2, 10), numticks=100))
    axis.set_minor_formatter(NullFormatter())


def _unit(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 0.9995 else f"{seconds * 1000:g} ms"  # noqa: PLR2004


def _legend(axes: Axes, ink: str, title: str, height: float) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    columns = 2 if len(labels) > 1 else 1
    legend = axes.legend(
        handles,
        labels,
        title=title or None,
        loc="lower left",
        bbox_to_anchor=(-0.01, height),
        borderaxespad=0.2,
        alignment="left",
        ncols=columns,
        frameon=False,
        labelcolor=ink,
        fontsize=9.5,
        handlelength=2.6,
        columnspacing=2.0,
    )
    legend.get_title().set_color(ink)
    legend.get_title().set_fontsize(10.5)
