"""Which lessons to take in the time there is."""

from collections.abc import Sequence
from html import escape

from loopclinic.lessons.catalogue import lessons
from loopclinic.lessons.drawing import Drawing
from loopclinic.lessons.lesson import Lesson

__all__ = ["ROUTES", "routes"]

ROUTES: dict[str, tuple[str, ...]] = {
    "In 90 minutes": ("00", "01", "02"),
    "In half a day": ("00", "01", "02", "04", "06", "10"),
    "Before a design review": ("00", "91", "13"),
    "All of it": (),
}
"""Numbers of lessons, by occasion; none means every lesson. Those not yet there are left out."""


def routes() -> Drawing:
    """Show each route: its lessons, as links, and the minutes they take."""
    known = {one.number: one for one in lessons()}
    rows, texts = [], []
    for occasion, numbers in ROUTES.items():
        chosen = [known[number] for number in numbers or known if number in known]
        minutes = sum(one.minutes for one in chosen)
        rows.append(
            f"<tr><th>{escape(occasion)}</th><td>{_links(chosen)}</td>"
            f"<td style='text-align:right;white-space:nowrap;padding-right:0'>{minutes} min</td></tr>"
        )
        names = ", ".join(f"{one.number} {one.title}" for one in chosen)
        texts.append(f"{occasion}: {names} ({minutes} min)")
    return Drawing(f"<table><tbody>{''.join(rows)}</tbody></table>", "\n".join(texts))


def _links(chosen: Sequence[Lesson]) -> str:
    return "<br>".join(
        f"<a href='{one.name}.ipynb'>{one.number} {escape(one.title)}</a>"
        f" <span class='lc-muted'>{one.minutes} min</span>"
        for one in chosen
    )
