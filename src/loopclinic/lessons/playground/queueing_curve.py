"""Chart of waiting time against utilization, by queueing theory, for 1, 4 and 16 servers (M/M/c)."""

from collections.abc import Sequence
from typing import Any

from loopclinic.drawing.charts import Series, Strip, legend, strips
from loopclinic.drawing.tables import Drawing
from loopclinic.lessons.playground.queueing import Line
from loopclinic.load.plots import COLORS
from loopclinic.units import count

_MOST = 0.97
_TOP = 10
"""Service times up to which a curve is drawn."""


def curve(places: Sequence[int] = (1, 4, 16)) -> Drawing:
    """Draw the mean time in an M/M/c against its busy share, in service times."""
    shares = [number / 200 for number in range(1, round(200 * _MOST) + 1)]
    named = list(zip(places, COLORS, strict=False))
    points = {
        many: [(share, 1 + Line(many, rate=share * many, service=1.0).wait) for share in shares]
        for many in places
    }
    lines = [Series([(x, y) for x, y in points[many] if y <= _TOP], color) for many, color in named]
    half = ", ".join(f"{1 + Line(many, 0.9 * many, 1.0).wait:.1f} with {many}" for many in places)
    alt = f"Mean time in service times by busy share. At 90 % busy: {half}."
    what = "mean time, in service times"
    chart = Strip(what, lines, _TOP, ticks=(0, 2, 4, 6, 8, 10), bound=(1, ""), height=220)
    across: dict[str, Any] = {"low": 0, "high": 1, "ticks": (0, 0.2, 0.4, 0.6, 0.8, 0.9, 1)}
    looks: dict[str, Any] = {"write": "{:.0%}".format, "grid": True, "title": alt}
    svg = strips([chart], label="busy share of the places", **across, **looks)
    keys = legend(*((color, count(many, "place")) for many, color in named), between=" &ensp; ")
    return Drawing(f"{keys}{svg}", alt)
