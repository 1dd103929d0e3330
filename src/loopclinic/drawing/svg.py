"""SVG elements that drawings share: the picture itself, words, lines and rectangles."""

from collections.abc import Iterable
from html import escape


def svg(width: float, height: float, parts: Iterable[str], title: str) -> str:
    """Return a picture of so many pixels; `title` says in words what it shows."""
    return (
        f"<svg class='lc-chart' viewBox='0 0 {width:.0f} {height:.0f}' role='img' "
        f"aria-label='{escape(title, quote=True)}'>{''.join(parts)}</svg>"
    )


def text(
    x: float, y: float, words: str, *, anchor: str = "start", strong: bool = False, more: str = ""
) -> str:
    """Return words; `anchor` is the part of them that stands at x: start, middle or end."""
    kind = " class='lc-strong'" if strong else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'{kind}{more}>{escape(words)}</text>"
    )


def line(left: float, right: float, top: float, bottom: float, look: str) -> str:
    """Return a line; `look` are its attributes."""
    return f"<line x1='{left:.1f}' x2='{right:.1f}' y1='{top:.1f}' y2='{bottom:.1f}' {look}/>"


def rect(x: float, y: float, width: float, height: float, look: str) -> str:
    """Return a rectangle, at least 0.8 pixels wide; empty without a height."""
    if height <= 0:
        return ""
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(width, 0.8):.1f}' height='{height:.1f}' {look}/>"
