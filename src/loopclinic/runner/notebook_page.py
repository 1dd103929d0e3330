"""Shows an HTML page in a notebook, inside a frame."""

from dataclasses import dataclass
from html import escape


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
