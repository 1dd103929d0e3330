"""Shows the results of a workshop's class: tables in the terminal, and one HTML page."""

from datetime import UTC, datetime
from pathlib import Path

import jinja2
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loopclinic.checks.class_results import ClassResults, LessonCount
from loopclinic.checks.progress import LessonProgress
from loopclinic.conflicts import CONFLICTS
from loopclinic.drawing.document import document
from loopclinic.units import count

_LEGEND = "+3: passed after 3 checks; ~3: in progress, 3 checks so far; -: not started; *: has seen the solution"
_MOST_CONFLICTS = 12

STYLE = """<style>
svg .passed { fill: var(--lc-calm) } svg .at-it { fill: var(--lc-stall) }
svg .new { fill: none; stroke: var(--lc-muted) }
svg .in { fill: var(--lc-surface); stroke: none; font-weight: 600 }
td.cell { white-space: nowrap } .passed { color: var(--lc-calm) }
.at-it { color: var(--lc-stall); font-weight: 600 }
</style>"""
"""Of progress_bars.svg.j2 and `cell_of`."""

templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parents[1]),
    autoescape=True,
    auto_reload=False,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
)
"""Those of class_page and of the live room, by their path in the package."""
templates.globals["zip"] = zip


def class_tables(room: ClassResults) -> RenderableType:
    """Return the group's results as tables for a terminal."""
    counts = room.lessons
    parts: list[RenderableType] = [Text(_headline(room), style="bold"), ""]
    who = _table("learner", *(one.lesson.number for one in counts))
    for learner in room.learners:
        cells = [cell_of(learner.at(one.lesson)) for one in counts]
        who.add_row(Text(learner.label), *(Text(text, style=_COLORS[kind]) for kind, text in cells))
    parts += [who, Text(_LEGEND, style="dim"), ""]
    by_lesson = _table("lesson", *_HEADERS)
    for one in counts:
        by_lesson.add_row(Text(_title(one)), *_figures(one))
    parts += [by_lesson, Text(_HEADERS_SAY, style="dim"), ""]
    if room.conflicts:
        found = _table("lesson", "conflict", "found for", "still found for")
        for conflict in room.conflicts[:_MOST_CONFLICTS]:
            numbers = (str(conflict.met), str(conflict.now))
            found.add_row(conflict.lesson.number, conflict.conflict, *numbers)
        parts += [found, ""]
    parts += [Text(f"Note: {remark}") for remark in room.remarks]
    return Group(*parts)


def class_page(room: ClassResults) -> str:
    """Return one page, with everything in it: no script, no address, both themes, printable."""
    body = templates.get_template("cli/class_page.html.j2").render(
        room=room,
        counts=room.lessons,
        headline=_headline(room),
        style=STYLE,
        cell=cell_of,
        figures=_figures,
        conflicts=CONFLICTS,
        legend=_LEGEND,
        heads=_HEADERS,
        heads_say=_HEADERS_SAY,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
    )
    return document("Group results", [body])


_HEADERS = ("passed", "in progress", "not started", "checks", "hints", "saw solution")
_HEADERS_SAY = "checks: median number until passing; hints, saw solution: how many people took a hint, looked at the solution"
_COLORS = {"passed": "green", "at-it": "dark_orange", "new": "dim"}


def _headline(room: ClassResults) -> str:
    many = len(room.learners)
    text = f"{count(many, 'learner')}."
    held = room.held_up
    if held is None:
        return f"{text} Nobody is stuck in a lab."
    return f"{text} Lesson {_title(held)} holds the most people up: {held.at_it} of {many} are working on it."


def _title(one: LessonCount) -> str:
    return f"{one.lesson.number} {one.lesson.title}"


def _figures(one: LessonCount) -> list[str]:
    checks = "" if one.checks is None else f"{one.checks:g}"
    figures = (one.passed, one.at_it, one.new, checks, one.hints, one.solutions_seen)
    return [str(figure) for figure in figures]


def cell_of(one: LessonProgress) -> tuple[str, str]:
    """Return how far somebody is with a lab: the class of a cell, and its words."""
    seen = "*" if one.solution_seen else ""
    if one.passed:
        return "passed", f"+{one.attempts}{seen}"
    if one.attempts or one.hints:
        return "at-it", f"~{one.attempts}{seen}"
    return "new", f"-{seen}"


def _table(first: str, *headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for header in headers:
        table.add_column(header, justify="left" if header == "conflict" else "right")
    return table
