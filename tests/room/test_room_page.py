"""The page of a room and its grade book: figures, questions, and that nothing typed is taken for HTML."""

import csv
import io
import re
import xml.etree.ElementTree as ET

import pytest

from loopclinic.conflicts import CONFLICTS
from loopclinic.lessons import lessons
from loopclinic.lessons.start_here.lesson_plans import ROUTES
from loopclinic.paths import kit_part
from loopclinic.room import room_page
from loopclinic.room.live_room import LiveRoom
from loopclinic.room.room_page import grade_book, live_part, page, questions
from tests.cli.test_class_view import Balanced

from .conftest import HERE, entry, lab

FIRST, SECOND = "01_blocking_sleep", "02_sync_database"
HOSTILE = "<img src=x onerror=alert(1)>"
FORMULAS = [
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@SUM(1)",
    "\N{FULLWIDTH EQUALS SIGN}1",
    "\N{SMALL PLUS SIGN}1",
]


def cells(html):
    """Return the rows of all tables, as the words of their cells."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [
        [
            " ".join(re.sub(r"<[^>]*>", " ", it).split())
            for it in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)
        ]
        for row in rows
    ]


def row(html, first):
    return next(one for one in cells(html) if one and one[0].startswith(first))


def test_an_empty_room_says_so(room):
    html = live_part(room)
    assert "Nobody is here yet." in html
    assert "Start the clock" in html
    assert row(html, "00 This page") == ["00 This page is an event loop", "", "", "", "", "10"]


def test_who_is_where_what_the_checks_said_and_minutes_against_the_plan(room, clock, seated):
    room.toggle_clock()
    stuck = {FIRST: lab(3, found=["retry-storm"])}
    keys = [seated("01", lessons=stuck) for _ in range(3)]
    for _ in range(30):
        clock.minutes(1)
        for key in keys:
            room.update(key, entry("01", lessons=stuck), HERE)
    seated("02", lessons={FIRST: lab(2, passed=True), SECOND: lab(status="could-not-run")})
    html = live_part(room)
    assert "4 learners, 3 of them at 01. Minute 30: the plan, 90 minutes, is at 01." in html
    assert row(html, "01 One")[1:] == ["3", "1", "1 passed, 3 not yet", "30", "25"]
    assert '<span class="at-it">30</span>' in html  # longer than planned
    assert row(html, "02 The")[1:] == ["1", "0", "1 could not run", "", "40"]
    clock.minutes(60)
    assert "the plan, 90 minutes, is over" in live_part(room)
    assert "away" in live_part(room)


def test_a_lesson_outside_of_the_plan_appears_with_its_people(room, seated):
    seated("07")
    assert row(live_part(room), "07 ")[1:] == ["1", "0", "", "", "not planned"]


def test_where_people_are_stuck_has_the_question_that_helps(room, seated):
    seated(lessons={FIRST: lab(found=["retry-storm"])})
    seated(lessons={FIRST: lab(found=["retry-storm", "swallowed-cancellation"])})
    seated(lessons={FIRST: lab(passed=True, found=["missing-deadline"])})  # is over it
    found = [one for one in cells(live_part(room)) if one[0] == "01" and len(one) == 6]
    assert [(one[1], one[2], one[5]) for one in found] == [
        ("2", "retry-storm", "3"),
        ("1", "swallowed-cancellation", "3"),
    ]
    assert found[0][3] == "Forty failed together. When do they come back?"


def test_two_questions_for_one_conflict_are_both_there(room, seated):
    seated(lessons={"09_await_races": lab(found=["non-atomic-counter"])})
    html = live_part(room)
    assert "And the process beside this one?" in html
    assert "The process dies here. When does the counter expire?" in html
    assert html.count('rowspan="2"') == 3


def test_the_questions_are_those_of_the_page_for_facilitators(monkeypatch):
    text = kit_part("docs", "facilitating.md").read_text("utf-8")
    rows = re.findall(r"^\| \d\d \| `.*$", text, re.MULTILINE)
    assert sum(map(len, questions().values())) == len(rows) > 40
    questions.cache_clear()
    monkeypatch.setattr(room_page, "kit_part", lambda *_: (_ for _ in ()).throw(OSError))
    assert questions() == {}
    questions.cache_clear()


def test_without_the_questions_the_page_says_what_is_missing(room, seated, monkeypatch):
    monkeypatch.setattr(room_page, "questions", dict)
    seated(lessons={FIRST: lab(found=["retry-storm"])})
    html = live_part(room)
    assert "docs/facilitating.md, which says what to ask, was not found." in html
    assert "retry-storm" in html


def columns(html):
    """Return the heights of the columns of the first chart, the one for wide pages."""
    chart = re.search(r"<div class='lc-fit'>(<svg.*?</svg>)", html, re.DOTALL)[1]
    drawn = ET.fromstring(chart).iter("rect")
    return [float(one.get("height")) for one in drawn if "--lc-lag" in one.get("fill")]


def test_guesses_are_a_histogram_and_the_measurement_comes_when_half_have_it(room, seated):
    given = [(0.1, None), (0.11, None), (0.12, 0.6), (2.0, None)]
    keys = [seated(guesses={"01": one}) for one in map(list, given)]
    html = live_part(room)
    assert (
        "01: 4 guesses, the median 115 ms. Measured by 1 of 4 so far: shown once half have." in html
    )
    assert ">measured<" not in html
    high, low = sorted(columns(html), reverse=True)
    assert high / low == pytest.approx(3, rel=0.01)
    room.update(keys[3], entry(guesses={"01": [2.0, 0.4]}), HERE)
    html = live_part(room)
    assert "Measured: 500 ms." in html  # the median of both
    assert ">measured<" in html
    assert "fill='var(--lc-stall)'" in html


@pytest.mark.parametrize(
    "values", [[1e-9, 1e12], [1.0], [10.0, 10.0], [1e12], [1e-9], [999.99, 1000.01]]
)
def test_any_guess_that_is_accepted_is_drawn(room, seated, values):
    for one in values:
        seated(guesses={"04": [one, one]})
    assert len(columns(live_part(room))) == len({*values})


def test_the_lesson_where_most_people_are_comes_first(room, seated):
    guesses = {"01": [1, None], "02": [10, None]}
    for at in ("02", "02", "01"):
        seated(at, guesses=guesses)
    assert re.findall(r'lc-guesses">(\d\d):', live_part(room)) == ["02", "01"]


def test_the_page_is_whole_and_nothing_that_was_sent_is_html(room, seated):
    seated(name=HOSTILE, lessons={FIRST: lab(found=["retry-storm"])}, guesses={"01": [1, 1]})
    html = page(room, f"192.0.2.1:8901/{room.token}", 'n"><b>')
    assert HOSTILE not in html
    assert "&lt;img src=x" in html
    reader = Balanced()
    reader.feed(html)
    assert reader.open == []
    assert HOSTILE in [word.strip() for word in reader.words]
    assert not re.search(r"https?://|<link|@import", html)
    assert html.count("<script") == 1
    assert 'nonce="n&#34;&gt;' in html


def test_each_lab_is_a_column_of_the_grade_book(room, seated):
    seated(name="Kim, the first", lessons={FIRST: lab(3, passed=True), SECOND: lab(2)})
    for name in FORMULAS:
        seated(name=name)
    seated()
    rows = [*csv.DictReader(io.StringIO(grade_book(room)))]
    labs = [one.number for one in lessons() if one.shipped]
    assert [*rows[0]] == [
        "learner",
        "labs passed",
        *(f"{it} {what}" for it in labs for what in ("lab", "checks")),
    ]
    safe = [f"'{name}" for name in FORMULAS]
    assert [one["learner"] for one in rows] == ["Kim, the first", *safe, "unnamed 1"]
    first = rows[0]
    assert (first["labs passed"], first["01 lab"], first["01 checks"]) == ("1", "passed", "3")
    assert (first["02 lab"], first["02 checks"], first["03 checks"]) == ("", "2", "0")


def test_a_name_is_one_cell_where_the_spreadsheet_splits_at_semicolons(room, seated):
    seated(name='Kim";=1+1;"')
    row = grade_book(room).splitlines()[1]
    (first, *_) = next(csv.reader([row], delimiter=";"))
    assert first.startswith('Kim";=1+1;"')


def test_a_name_is_kept_apart_from_the_words_beside_it(room, seated):
    seated(name="\N{HEBREW LETTER ALEF}\N{RIGHT-TO-LEFT OVERRIDE}x\N{ZERO WIDTH SPACE}")
    assert '<bdi class="lc-name">\N{HEBREW LETTER ALEF} x</bdi>' in live_part(room)


def test_one_learner_cannot_fill_the_page_with_conflicts(room, seated):
    for _ in range(2):
        seated(lessons={FIRST: lab(found=["retry-storm"])})
    seated(lessons={one.name: lab(found=CONFLICTS) for one in lessons() if one.shipped})
    stuck = [one for one in cells(live_part(room)) if len(one) == 6 and one[0].isdigit()]
    assert stuck[0][1:3] == ["3", "retry-storm"]
    assert len(stuck) < 20


@pytest.mark.parametrize("plan", ROUTES, ids=lambda one: one.name)
def test_every_route_is_a_plan(plan):
    html = live_part(LiveRoom(plan))
    assert all(row(html, f"{one.number} ")[5] == str(one.minutes) for one in plan.lessons)
