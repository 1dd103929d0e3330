"""Shows the results of a workshop's class: tables in the terminal, and one HTML page."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loopclinic.checks.class_results import ClassResults, LessonCount
from loopclinic.checks.progress import LessonProgress
from loopclinic.conflicts import CONFLICTS
from loopclinic.drawing.document import document, headline, notes
from loopclinic.drawing.svg import rect, svg, text
from loopclinic.units import count, shortened

_LEGEND = "+3: passed after 3 checks; ~3: in progress, 3 checks so far; -: not started; *: has seen the solution"
_MOST_CONFLICTS = 12
_ROW, _LEFT, _WIDTH, _RIGHT = 34, 350, 940, 20
_TITLE = 42  # characters of a title that fit on the left

_STYLE = """<style>
svg.lc-chart { min-width: 540px }
svg .passed { fill: var(--lc-calm) } svg .at-it { fill: var(--lc-stall) }
svg .new { fill: none; stroke: var(--lc-muted) }
svg .in { fill: var(--lc-surface); stroke: none; font-weight: 600 }
td.cell { white-space: nowrap } .passed { color: var(--lc-calm) }
.at-it { color: var(--lc-stall); font-weight: 600 }
</style>"""


def class_tables(room: ClassResults) -> RenderableType:
    """Return the group's results as tables for a terminal."""
    counts = room.lessons
    parts: list[RenderableType] = [Text(_headline(room), style="bold"), ""]
    who = _table("learner", *(one.lesson.number for one in counts))
    for learner in room.learners:
        cells = [_cell(learner.at(one.lesson)) for one in counts]
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
    counts = room.lessons
    learners = (
        [escape(learner.label), *(_html_cell(learner.at(one.lesson)) for one in counts)]
        for learner in room.learners
    )
    titles = [[escape(_title(one)), *map(escape, _figures(one))] for one in counts]
    conflicts = [
        [
            one.lesson.number,
            f"<code>{escape(one.conflict)}</code>",
            escape(CONFLICTS[one.conflict].sentence),
            str(one.met),
            str(one.now),
        ]
        for one in room.conflicts
    ]
    numbers = [one.lesson.number for one in counts]
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    met = ["lesson", "conflict", "what it is", "found for", "still found for"]
    sections = [
        _STYLE,
        "<h1>Group results</h1>",
        headline(_headline(room), bad=bool(room.held_up)),
        "<h2>Progress by lesson</h2>",
        f"<figure>{_drawing(counts)}</figure>",
        "<h2>Progress by learner</h2>",
        _html_table(["learner", *numbers], learners),
        f'<p class="lc-muted">{escape(_LEGEND)}</p>',
        "<h2>Lessons</h2>",
        _html_table(["lesson", *_HEADERS], titles),
        f'<p class="lc-muted">{escape(_HEADERS_SAY)}</p>',
        *(["<h2>What checks found</h2>", _html_table(met, conflicts)] if conflicts else []),
        *notes(room.remarks),
        f'<p class="lc-muted">Made on {made} UTC, from the files that learners handed in.</p>',
    ]
    return document("Group results", sections)


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
    return [
        *map(str, (one.passed, one.at_it, one.new)),
        checks,
        str(one.hints),
        str(one.solutions_seen),
    ]


def _cell(one: LessonProgress) -> tuple[str, str]:
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


def _html_cell(one: LessonProgress) -> str:
    kind, text = _cell(one)
    return f'<span class="{kind}">{text}</span>'


def _html_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "\n".join(
        "<tr>" + "".join(f'<td class="cell">{cell}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="lc-wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _drawing(counts: Sequence[LessonCount]) -> str:
    """Draw a bar a lesson: how many passed, are in progress, have not started."""
    height = _ROW * len(counts) + 30
    words = "; ".join(
        f"lesson {one.lesson.number}: {one.passed} passed, {one.at_it} in progress, {one.new} not started"
        for one in counts
    )
    parts = []
    for row, one in enumerate(counts):
        top = row * _ROW + 4
        everyone = max(1, one.passed + one.at_it + one.new)
        title = shortened(_title(one), _TITLE)
        parts.append(text(_LEFT - 10, top + 18, title, anchor="end", strong=True))
        left = float(_LEFT)
        for kind, many in (("passed", one.passed), ("at-it", one.at_it), ("new", one.new)):
            if not many:
                continue
            width = (_WIDTH - _LEFT - _RIGHT) * many / everyone
            inside = "" if kind == "new" else " class='in'"
            parts.append(rect(left, top, width - 2, 26, f"class='{kind}'"))
            parts.append(text(left + width / 2, top + 18, f"{many}", anchor="middle", more=inside))
            left += width
    x, y = _LEFT, height - 18
    for kind, word in (("passed", "passed"), ("at-it", "in progress"), ("new", "not started")):
        parts += [rect(x, y, 12, 12, f"class='{kind}'"), text(x + 18, y + 11, word)]
        x += 100
    return svg(_WIDTH, height, parts, words)
