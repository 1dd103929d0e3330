"""Lag as bars in a terminal, in two colors that color-blind readers can tell apart."""

from bisect import bisect_right

STUCK, FREE = "bold #D55E00", "bold #009E73"  # Okabe and Ito's
_BARS = "▁▂▃▄▅▆▇█"
_EDGES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


def bar(lag: float) -> str:
    """Return a bar for a lag in seconds: the lowest below 2 ms, the full one from 200 ms on."""
    return _BARS[bisect_right(_EDGES, lag)]
