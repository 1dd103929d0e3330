"""Recommended routes through the lessons, by the time that a reader has or the work that they do."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from loopclinic.drawing.tables import Cell, Drawing, bold, table
from loopclinic.lessons.catalogue import Lesson, lessons


@dataclass(frozen=True)
class Route:
    """A choice of lessons, in an order in which each stands on those before it."""

    name: str
    numbers: tuple[str, ...] = ()
    """None: every lesson. Those not yet there are left out."""
    within: int | None = None
    """Minutes that its name gives, breaks and unfinished labs included."""

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """Return its lessons, in order."""
        known = {one.number: one for one in lessons()}
        return tuple(known[number] for number in self.numbers or known if number in known)

    @property
    def minutes(self) -> int:
        """Return the minutes that its lessons take, with a first try at each lab."""
        return sum(one.minutes for one in self.lessons)


ROUTES = (
    Route("90 minutes", ("00", "01", "02"), 90),
    Route("half a day", ("00", "01", "02", "04", "03"), 240),
    Route("a day", ("00", "01", "02", "04", "03", "91"), 420),
    Route("two days", within=840),
    Route("I review designs", ("00", "01", "05", "09", "10", "91")),
    Route("I keep a service alive at night", ("00", "01", "02", "10", "14")),
)


def routes() -> Drawing:
    """Show each route: its lessons, as links, and the minutes they take."""
    rows = []
    for one in ROUTES:
        names = ", ".join(f"{lesson.number} {lesson.title}" for lesson in one.lessons)
        rows.append([bold(one.name), Cell(_links(one.lessons), names), f"{one.minutes} min"])
    return table(["Your time, or your work", "Lessons", "In all"], rows)


def _links(chosen: Sequence[Lesson]) -> str:
    return "<br>".join(
        f"<a href='{one.name}.ipynb'>{one.number} {escape(one.title)}</a>"
        f" <span class='lc-muted'>{one.minutes} min</span>"
        for one in chosen
    )
