"""The page of a live room, and its grade book."""

import csv
import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from math import ceil, floor, log10
from pathlib import Path
from statistics import median

from loopclinic.checks.class_results import ClassResults
from loopclinic.cli.class_view import STYLE, cell_of, templates
from loopclinic.drawing.charts import Bars, Strip, seconds, strips
from loopclinic.drawing.document import document
from loopclinic.lessons import lessons
from loopclinic.paths import KitNotFoundError, kit_part
from loopclinic.recall.cards import CARDS, in_words
from loopclinic.room.live_room import LiveRoom
from loopclinic.units import count
from loopclinic.verdict import WORDS

_FILES = (Path(__file__).with_name(name) for name in ("room.css", "room.js"))
_STYLE, _SCRIPT = (file.read_text("utf-8") for file in _FILES)
_UNITS = {card.lesson: card.unit for card in CARDS}
_GUESSED = "color-mix(in srgb, var(--lc-lag) 55%, var(--lc-surface))"  # the measurement stands out
_MOST_STUCK = 12
"""Conflicts on the page: one learner can send hundreds."""
_A_DECADE = 4
"""Columns of a histogram for a factor of ten."""
_ASKED = re.compile(r'^\| (\d\d) \| `([a-z-]+)` \| (.+) \| "(.+)" \| (\d) \|$', re.MULTILINE)


def page(room: LiveRoom, line: str, nonce: str) -> str:
    """Return the whole page; its script, which `nonce` allows, renews what `live_part` returns."""
    given = {"shared": STYLE, "style": _STYLE, "script": _SCRIPT, "line": line, "nonce": nonce}
    template = templates.get_template("room/page.html.j2")
    return document("Live room", [template.render(given, live=live_part(room))])


def live_part(room: LiveRoom) -> str:
    """Return what changes while the page is open: where people are, questions, guesses, each learner."""
    people = room.people
    learners = tuple(learner for learner, _ in people)
    results, planned = ClassResults(learners), room.plan.lessons
    at = Counter(seat.entry.at for _, seat in people)
    stuck = sorted((one for one in results.conflicts if one.now), key=lambda it: -it.now)
    drawn = []
    for one in sorted(lessons(), key=lambda it: (-at[it.number], it.number)):
        guesses = [seat.entry.guesses.get(one.number) for _, seat in people]
        if pairs := [it for it in guesses if it is not None]:
            drawn.append(_histogram(one.number, pairs))
    return templates.get_template("room/live.html.j2").render(
        room=room,
        people=people,
        sentence=_sentence(room, at),
        at=at,
        places=[*planned, *(it for it in lessons() if it not in planned and at[it.number])],
        passed=Counter(it.number for it in lessons() for one in learners if one.at(it).passed),
        kinds=Counter((it.number, one.at(it).last_status) for it in lessons() for one in learners),
        words=WORDS,
        stuck=stuck[:_MOST_STUCK],
        questions=questions(),
        drawn=drawn,
        counts=[it for it in results.lessons if it.lesson in planned or it.new < len(people)],
        cell=cell_of,
    )


def _sentence(room: LiveRoom, at: Counter[str]) -> str:
    if not at:
        return "Nobody is here yet."
    number, many = at.most_common(1)[0]
    everybody = at.total()
    share = "all" if many == everybody else many
    said = f"{count(everybody, 'learner')}, {share} of them at {number}."
    if not room.seconds:
        return f"{said} The clock has not been started."
    where = f"is at {room.planned.number}" if room.planned else "is over"
    return f"{said} Minute {room.seconds / 60:.0f}: the plan, {room.plan.name}, {where}."


@cache
def questions() -> dict[tuple[str, str], list[list[str]]]:
    """Return what docs/facilitating.md says of who is stuck, by lesson and conflict: did, ask, hint."""
    try:
        text = kit_part("docs", "facilitating.md").read_text("utf-8")
    except (KitNotFoundError, OSError):
        return {}
    found = defaultdict(list)
    for number, conflict, *rest in _ASKED.findall(text):
        found[number, conflict].append(rest)
    return dict(found)


def _histogram(number: str, pairs: Sequence[tuple[float, float | None]]) -> tuple[str, str]:
    """Return words and a chart of guesses; the measurement once half of them have one: it would tell the rest."""
    unit, guesses = _UNITS[number], [guess for guess, _ in pairs]
    measured = [value for _, value in pairs if value is not None]
    shown = [median(measured)] if 2 * len(measured) >= len(pairs) else []
    low = floor(log10(min(guesses + shown)))
    high = max(ceil(log10(max(guesses + shown))), low + 1)
    last = (high - low) * _A_DECADE
    bins = Counter(min(floor((log10(it) - low) * _A_DECADE), last - 1) for it in guesses)
    edges = [10 ** (low + at / _A_DECADE) for at in range(last + 1)]
    most = max(bins.values())
    wide = {at: edges[at + 1] - edges[at] for at in bins}
    columns = [Bars([(edges[at], 0, it)], _GUESSED, wide[at]) for at, it in bins.items()]
    said = f"Measured by {len(measured)} of {len(pairs)} so far: shown once half have."
    if shown:
        said = f"Measured: {in_words(shown[0], unit)}."
    middle = in_words(median(guesses), unit)
    words = f"{number}: {count(len(pairs), 'guess', 'guesses')}, the median {middle}. {said}"
    columns += [Bars([(value, 0, most)], "var(--lc-stall)", value / 12) for value in shown]
    return words, strips(
        [Strip("people", columns, most, ticks=sorted({1, most}), height=90)],
        low=10.0**low,
        high=10.0**high,
        ticks=[10.0**power for power in range(low, high + 1)],
        label=f"guesses{'' if unit == 's' else f' ({unit})'}, on a logarithmic scale",
        log=True,
        marks=[(value, "measured") for value in shown],
        title=words,
        write=seconds if unit == "s" else "{:,g}".format,
    )


def grade_book(room: LiveRoom) -> str:
    """Return a CSV: a row for each learner, and for each lab its state and the number of checks."""
    labs = [one for one in lessons() if one.shipped]
    text = io.StringIO()
    rows = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)  # a spreadsheet may split at ; as well
    heads = (f"{lab.number} {it}" for lab in labs for it in ("lab", "checks"))
    rows.writerow(["learner", "labs passed", *heads])
    for one, _ in room.people:
        done = [one.at(lab) for lab in labs]
        cells = [it for lab in done for it in ("passed" if lab.passed else "", lab.attempts)]
        # A spreadsheet takes a name that begins so for a formula.
        formula = unicodedata.normalize("NFKC", one.label).startswith(("=", "+", "-", "@"))
        safe = "'" * formula + one.label
        rows.writerow([safe, sum(it.passed for it in done), *cells])
    return text.getvalue()
