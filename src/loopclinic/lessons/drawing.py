"""A small picture in HTML that reads well on both themes, and as text where there is no HTML."""

from dataclasses import dataclass
from html import escape
from math import isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loopclinic.load import Vitals

__all__ = ["Drawing", "span", "stalled"]

_STYLE = """
.lc-drawing { --lc-text: var(--jp-content-font-color1, currentColor); --lc-calm: #00805c;
  --lc-lag: #0072b2; --lc-stall: #c35100; --lc-faint: rgba(128, 128, 128, .35);
  --lc-muted: var(--jp-content-font-color2, #68707a); max-width: 760px; margin: 2px 0 6px;
  overflow-x: auto; color: var(--lc-text); font: 13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
  font-variant-numeric: tabular-nums; }
body[data-jp-theme-light="false"] .lc-drawing { --lc-calm: #1fb98c; --lc-lag: #56b4e9;
  --lc-stall: #f0792a; }
.lc-drawing svg { display: block; width: 100%; height: auto; }
.lc-drawing svg.lc-wide { min-width: 560px; }
.lc-drawing svg text { fill: var(--lc-text); font: inherit; }
.lc-drawing svg text.lc-muted { fill: var(--lc-muted); }
.lc-drawing p { margin: 4px 0; }
.lc-drawing .lc-muted { color: var(--lc-muted); }
:is(.jp-RenderedHTMLCommon, body) .lc-drawing :not(pre) > code { background: none; padding: 0; color: inherit;
  font: .96em/1.5 var(--jp-code-font-family, ui-monospace, monospace); }
.lc-drawing a { color: var(--jp-content-link-color, #0067b8); }
.jp-RenderedHTMLCommon .lc-drawing table, .lc-drawing table { border-collapse: collapse;
  margin: 4px 0; width: 100%; table-layout: auto; font-size: 13px; }
.jp-RenderedHTMLCommon .lc-drawing :is(th, td), .lc-drawing :is(th, td) { text-align: left;
  vertical-align: top; padding: 6px 14px 6px 0; background: none; white-space: normal;
  max-width: none; border: 0; border-bottom: 1px solid var(--lc-faint); }
.jp-RenderedHTMLCommon .lc-drawing tbody tr, .lc-drawing tbody tr { background: none; }
.lc-drawing th { font-weight: 600; }
"""


@dataclass(frozen=True)
class Drawing:
    """Shows `html` in a notebook, on either theme, and prints as `text` anywhere else."""

    html: str
    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<div class='lc-drawing'><style>{_STYLE}</style>{self.html}</div>"

    def __add__(self, below: "Drawing") -> "Drawing":
        """Return both, the other one below this one."""
        return Drawing(self.html + below.html, f"{self.text}\n{below.text}")

    @classmethod
    def note(cls, sentence: str) -> "Drawing":
        """Return a sentence as a drawing."""
        return cls(f"<p>{escape(sentence)}</p>", sentence)


def span(seconds: float) -> str:
    """Return seconds in words, as few digits as a reader needs: `3.9 s`, `250 ms`, `4 ms`."""
    if isnan(seconds):
        return "never"
    if seconds < 0.00005:  # noqa: PLR2004 - as good as nothing
        return "under 0.1 ms"
    if seconds < 0.0995:  # noqa: PLR2004 - from here on two digits of milliseconds suffice
        ms = seconds * 1000
        return f"{ms:.0f} ms" if ms >= 9.5 else f"{ms:.1f} ms"  # noqa: PLR2004
    if seconds < 0.995:  # noqa: PLR2004
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 99.5 else f"{seconds:.0f} s"  # noqa: PLR2004


def stalled(vitals: "Vitals", doing: str, *, last: str) -> Drawing:
    """Draw what a load did to the loop, with the line of the longest stall.

    `doing` goes on where the busy share of the time was told; `last` names what was served last.
    """
    worst = vitals.worst
    line = f" The line: <code>{escape(worst.code)}</code>" if worst and worst.code else ""
    words = (
        f"The loop was busy {vitals.utilization or 0:.0%} of the time{doing}. An event waited "
        f"{span(vitals.lag.p99)} for it (p99), and the last {last} "
        f"{span(vitals.latency.max)}."
    )
    return Drawing(f"<p>{words}{line}</p>", words)
