"""Sentences and tables as HTML that reads well on both themes, and as text where there is no HTML."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import isnan
from typing import Any

from loopclinic.drawing import STYLE

_UNIT = re.compile(r"(?<=\d) (?=(?:ms|s|min|MB|kB)\b|%|/s)")
_JOINT = re.compile(r"_(?=\w)|/(?=\w\w)|\.(?=[a-z_])|(?<=\w)\((?=\w)")
"""Where a long name may break: `current_|task`, `asyncio.|run`."""
_FIGURE, _SHORT = 8, 22
"""Characters up to which a cell of a table is kept on one line, the latter on a page that is not narrow."""


@dataclass(frozen=True)
class Drawing:
    """Shows `html` in a notebook, on either theme, and prints as `text` anywhere else."""

    html: str
    text: str

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        html = _UNIT.sub("\u00a0", self.html)  # a number and its unit stay on one line
        return f"<div class='lc lc-drawing'><style>{STYLE}</style>{html}</div>"

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
    if seconds < 0.00005:  # as good as nothing
        return "under 0.1 ms"
    if seconds < 0.0995:  # from here on two digits of milliseconds suffice
        ms = seconds * 1000
        return f"{ms:.0f} ms" if ms >= 9.5 else f"{ms:.1f} ms"
    if seconds < 0.995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 99.5 else f"{seconds:.0f} s"


class Drawn:
    """Shows as its `drawing()` in a notebook, and as that drawing's text anywhere else."""

    def drawing(self) -> Drawing:
        """Draw it."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.drawing().text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.drawing()._repr_html_()


@dataclass(frozen=True)
class Cell:
    """Words with their HTML, of a table or around it; `cell + words` and `cell + cell` join them."""

    html: str
    text: str = ""

    def __add__(self, other: "str | Cell") -> "Cell":
        more = other if isinstance(other, Cell) else Cell(_lines(other), other)
        return Cell(self.html + more.html, self.text + more.text)


def code(words: str, below: str = "") -> Cell:
    """Return words in the code's font, with muted ones below them."""
    shown = _plain("-").html if words == "-" else f"<code>{_lines(words)}</code>"
    return Cell(shown + _below(below), words)


def bold(words: str, below: str = "") -> Cell:
    """Return words in bold, with muted ones below them."""
    return Cell(f"<b>{_lines(words)}</b>{_below(below)}", words)


def _below(words: str) -> str:
    return f"<br><span class='lc-muted'>{_lines(words)}</span>" if words else ""


def colored(words: str, color: str) -> Cell:
    """Return a cell in `calm`, `lag` or `stall`, the colors of the scope."""
    return Cell(f"<span style='color:var(--lc-{color})'>{_lines(words)}</span>", words)


def bar(share: float, color: str = "lag", bound: float | None = None, words: str = "") -> Cell:
    """Return a bar over `share` of the cell, with a line where the bound is and words behind it."""
    room = "7ch - 8px" if words else "0px"  # of every row, so that bars compare
    width, at = (f"calc((100% - {room}) * {min(one, 1.0):.3f})" for one in (share, bound or 0.0))
    place = "position:absolute;top:-3px;bottom:-3px;border-left:2px solid"
    line = "" if bound is None else f"<i style='{place};left:{at}'></i>"
    return Cell(
        "<div style='position:relative;min-width:110px;display:flex;align-items:center;gap:8px'>"
        f"<div style='flex:none;height:12px;border-radius:2px;width:{width};"
        f"background:var(--lc-{color})'></div>{line}{escape(words)}</div>",
        words,
    )


def table(
    heads: Sequence[str],
    rows: Iterable[Iterable[Any]],
    *,
    title: str | Cell = "",
    sentence: str | Cell = "",
    note: str | Cell = "",
) -> Drawing:
    """Draw a table of strings and cells, as text a line for each row; `note` is muted."""
    drawn, texts = [], []
    for row in rows:
        cells = [_plain(one) if isinstance(one, str) else one for one in row]
        drawn.append("".join(map(_td, cells)))
        figures = (
            f"{head} {cell.text}".strip().replace("\n", ", ")
            for head, cell in zip(heads[1:], cells[1:], strict=True)
            if cell.text
        )
        texts.append(f"{cells[0].text}: {'; '.join(figures)}")
    above, between, below = (Cell("") + words for words in (title, sentence, note))
    html = (
        _p(above)
        + f"<table><thead><tr>{''.join(f'<th>{_lines(head)}</th>' for head in heads)}</tr></thead>"
        + f"<tbody>{''.join(f'<tr>{cells}</tr>' for cells in drawn)}</tbody></table>"
        + _p(between)
        + _p(below, " class='lc-muted'")
    )
    return Drawing(html, "\n".join(filter(None, [above.text, *texts, between.text, below.text])))


def _p(words: Cell, kind: str = "") -> str:
    return f"<p{kind}>{words.html}</p>" if words.html else ""


def _plain(words: str) -> Cell:
    return Cell("<span class='lc-muted'>&ndash;</span>" if words == "-" else _lines(words), words)


def _td(cell: Cell) -> str:
    most = {"lc-short": _SHORT, "lc-figure": _FIGURE}
    kept = " ".join(name for name, letters in most.items() if 0 < len(cell.text) <= letters)
    return f"<td class='{kept}'>{cell.html}</td>"


def _lines(words: str) -> str:
    return _JOINT.sub(r"\g<0><wbr>", escape(words)).replace("\n", "<br>")
