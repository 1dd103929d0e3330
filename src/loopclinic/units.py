"""Formats counts, durations and names that are too long, the same everywhere."""

import math


def count(number: int, one: str, many: str | None = None) -> str:
    """Return `1 session`, `2,000 sessions`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """Return seconds in words: `1.20 s`, `34.5 ms`, `0.42 ms`; `none` for None and nan."""
    if seconds is None or math.isnan(seconds):
        return "none"
    if seconds >= 0.9995:  # from here on three digits say seconds
        return f"{seconds:.2f} s" if seconds < 99.95 else f"{seconds:.0f} s"
    ms = seconds * 1000
    return f"{ms:.0f} ms" if ms >= 99.95 else f"{ms:.1f} ms" if ms >= 9.995 else f"{ms:.2f} ms"


def span(seconds: float) -> str:
    """Return seconds as a verdict says them: `1.2 s`, `340 ms`."""
    return f"{seconds:.1f} s" if seconds >= 0.9995 else f"{seconds * 1000:.0f} ms"


def shortened(words: str, most: int) -> str:
    """Return words, of more than `most` characters the first ones and `…`."""
    return words if len(words) <= most else f"{words[: most - 1]}…"
