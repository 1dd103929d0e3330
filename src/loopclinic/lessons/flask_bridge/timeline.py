"""Threads and connections of a server over time, with its SIGTERM, as a small picture."""

from collections.abc import Callable, Sequence
from html import escape

from loopclinic.lessons.drawing import Drawing, span
from loopclinic.lessons.flask_bridge.watching import Sample

__all__ = ["timeline"]

_WIDTH, _HEIGHT = 720.0, 170.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 112.0, 18.0, 24.0


def timeline(series: Sequence[Sample], terminated: float) -> Drawing:
    """Draw threads and connections, and a line where SIGTERM came."""
    if not series:
        return Drawing.note("The server was gone before it could be asked.")
    ends = max(series[-1][0], terminated) * 1.02
    most = max(4, *(max(threads, links) for _, threads, links in series))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(at: float) -> float:
        return _LEFT + (right - _LEFT) * at / ends

    def y(value: float) -> float:
        return bottom - (bottom - _TOP) * value / most

    def path(column: int) -> str:
        steps, last = [], bottom
        for row in series:
            steps.append(f"H{x(row[0]):.1f}V{y(row[column]):.1f}")
            last = y(row[column])
        return f"M{_LEFT:.1f} {bottom:.1f}{''.join(steps)}H{x(series[-1][0]):.1f}V{last:.1f}"

    ticks = sorted({0, round(most / 2), most})
    grid = "".join(
        f"<line x1='{_LEFT}' x2='{right}' y1='{y(one):.1f}' y2='{y(one):.1f}' stroke='var(--lc-faint)'/>"
        f"<text class='lc-muted' x='{_LEFT - 8}' y='{y(one) + 4:.1f}' text-anchor='end'>{one}</text>"
        for one in ticks
    )
    # Where the lines are highest: at the end both are down, or cut off.
    most_threads = max(one.threads for one in series)
    most_links = max(one.connections for one in series)
    labels = _labels([("threads", most_threads, "stall"), ("connections", most_links, "lag")], y)
    at = x(terminated)
    svg = (
        f"<svg class='lc-wide' viewBox='0 0 {_WIDTH:.0f} {_HEIGHT:.0f}' role='img' "
        f"aria-label='{escape(_words(series, terminated), quote=True)}'>{grid}"
        f"<path d='{path(1)}' fill='none' stroke='var(--lc-stall)' stroke-width='2'/>"
        f"<path d='{path(2)}' fill='none' stroke='var(--lc-lag)' stroke-width='2' stroke-dasharray='5 3'/>"
        f"<line x1='{at:.1f}' x2='{at:.1f}' y1='{_TOP - 6}' y2='{bottom}' stroke='var(--lc-text)' "
        f"stroke-dasharray='2 3'/><text x='{at - 6:.1f}' y='{_TOP - 5}' text-anchor='end'>SIGTERM</text>"
        f"<text class='lc-muted' x='{_LEFT}' y='{_HEIGHT - 6}'>0 s</text>"
        f"<text class='lc-muted' x='{right}' y='{_HEIGHT - 6}' text-anchor='end'>{span(ends)}</text>"
        f"{labels}</svg>"
    )
    return Drawing(svg, _words(series, terminated))


def _labels(lines: list[tuple[str, int, str]], y: Callable[[float], float]) -> str:
    right = _WIDTH - _RIGHT + 8
    places = [min(max(y(value), _TOP + 4), _HEIGHT - _BOTTOM) for _, value, _ in lines]
    if abs(places[0] - places[1]) < 16:  # noqa: PLR2004 - a line of text
        places = [places[0] - 8, places[0] + 8]
    return "".join(
        f"<text x='{right}' y='{place + 4:.1f}' style='fill:var(--lc-{color})'>{name}</text>"
        for (name, _, color), place in zip(lines, places, strict=True)
    )


def _words(series: Sequence[Sample], terminated: float) -> str:
    threads = max(one[1] for one in series)
    links = max(one[2] for one in series)
    return f"Threads grow to {threads} and connections to {links} until SIGTERM after {span(terminated)}."
