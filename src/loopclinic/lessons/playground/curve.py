"""The one picture of queueing theory: what a request waits, by how busy the places are."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from loopclinic.lessons.playground.queueing import Line
from loopclinic.load.plots import Picture

__all__ = ["curve"]

_COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")
_STYLES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (6, 1.5, 1.2, 1.5)), (0, (1.2, 1.2)))
_INK = "#7C7C7C"
_MOST = 0.97


def curve(places: Sequence[int] = (1, 4, 16)) -> Picture:
    """Draw the mean time in an M/M/c against its busy share, in service times."""
    figure = Picture(figsize=(7.2, 3.4), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    shares = [number / 200 for number in range(1, round(200 * _MOST) + 1)]
    for count, color, style in zip(places, cycle(_COLORS), cycle(_STYLES), strict=False):
        lines = (Line(count, rate=share * count, service=1.0) for share in shares)
        name = f"{count} place{'s' * (count > 1)}"
        axes.plot(
            shares,
            [1 + line.wait for line in lines],
            color=color,
            linestyle=style,
            linewidth=2,
            label=name,
        )
    axes.axhline(1, color=_INK, linewidth=1, linestyle=(0, (1, 3)))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 10)
    axes.set_xlabel("busy share of the places", color=_INK)
    axes.set_ylabel("mean time, in service times", color=_INK)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(_INK)
    axes.grid(visible=True, color=_INK, alpha=0.22, linewidth=0.7)
    axes.legend(loc="upper left", frameon=False, labelcolor=_INK, fontsize=9.5, handlelength=2.6)
    half = ", ".join(
        f"{1 + Line(count, 0.9 * count, 1.0).wait:.1f} with {count}" for count in places
    )
    figure.alt = f"Mean time in service times by busy share. At 90 % busy: {half}."
    return figure
