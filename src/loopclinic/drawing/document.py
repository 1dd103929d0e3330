"""Whole HTML documents: readable without a network or a screen, light and dark, and in print."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from loopclinic.drawing import STYLE


def document(title: str, sections: Iterable[str]) -> str:
    """Return a whole document around `sections` of HTML; empty ones are left out."""
    body = "\n".join(section for section in sections if section)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n"
        f'<body class="lc lc-page">\n{body}\n</body>\n</html>\n'
    )


def headline(sentence: str, *, bad: bool) -> str:
    """Return the sentence that a page begins with; `bad` gives it the color of a stall."""
    return f'<p class="lc-headline{" lc-bad" * bad}">{escape(sentence)}</p>'


def notes(sentences: Iterable[str]) -> list[str]:
    """Return each sentence as a muted paragraph."""
    return [f'<p class="lc-muted">Note: {escape(one)}</p>' for one in sentences]


def facts(known: Mapping[str, str]) -> str:
    """Return what is known as a list of terms, in plain words."""
    rows = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in known.items()
    )
    return f"<dl>{rows}</dl>"


def breakable(path: str) -> str:
    """Return a path as HTML that may be broken after a slash, and nowhere else."""
    return escape(path).replace("/", "/<wbr>")


@dataclass(frozen=True, repr=False)
class InlinePage:
    """Shows `html`, a whole document, in a frame of its own, `height` pixels high; it runs no script."""

    html: str
    height: int = 700

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html, quote=True)}" sandbox="" title="the page" '
            f'style="width:100%;height:{self.height}px;border:1px solid #8884;border-radius:4px">'
            "</iframe>"
        )

    def __repr__(self) -> str:
        return f"a page of {len(self.html) / 1000:,.0f} kB"
