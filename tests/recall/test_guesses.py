"""Guesses: kept in the state folder, and due again three days after they were wrong."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from filelock import FileLock

from loopclinic.recall import guesses
from loopclinic.recall.cards import waiting
from loopclinic.recall.guesses import note, path, read

ASKED = "How many of 2,000 are published?"
MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def days(number):
    return timedelta(days=number)


def test_a_wrong_guess_is_due_after_three_days():
    assert note(ASKED, 500, 20, now=MONDAY) == ""
    assert read()[ASKED].due_at == MONDAY + days(3)


@pytest.mark.parametrize(
    ("guess", "measured", "due"),
    [(80, 100, False), (125, 100, False), (79, 100, True), (126, 100, True), (100, None, False)],
)
def test_due_is_what_is_more_than_a_quarter_off(guess, measured, due):
    note(ASKED, guess, measured, now=MONDAY)
    assert (read()[ASKED].due_at is not None) == due


def test_the_first_guess_with_a_measurement_counts():
    for number, moment in ((100, MONDAY), (500, MONDAY + days(1))):
        note(ASKED, number, now=moment)  # the slider moves
    assert read()[ASKED].guess == 500
    note(ASKED, 500, 20, now=MONDAY + days(2))
    note(ASKED, 20, now=MONDAY + days(3))  # moved to what is known by now
    note(ASKED, 20, 21, now=MONDAY + days(3))
    one = read()[ASKED]
    assert (one.guess, one.measured, one.due_at) == (500, 20, MONDAY + days(5))


def test_an_answer_that_was_known_ends_it_and_a_wrong_one_brings_it_back():
    note(ASKED, 500, 20, now=MONDAY)
    for known, due in ((False, MONDAY + days(12)), (True, None)):
        with guesses.change() as kept:
            kept[ASKED].at, kept[ASKED].known = MONDAY + days(9), known
        assert read()[ASKED].due_at == due


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 1, "guesses": [{"question": "?"}]}',
        '{"schema": 1, "guesses": [{"question": "?", "guess": NaN, "at": "2026-03-02T09:00:00+00:00"}]}',
        '{"schema": 1, "guesses": [{"question": "?", "guess": 1, "at": "2026-03-02"}]}',
        '{"schema": 1, "guesses": [{"question": [], "guess": 1, "at": "2026-03-02T09:00:00+00:00"}]}',
        '{"schema": 1, "guesses": [{"question": "?", "guess": 1, "at": "9999-12-31T09:00:00+00:00"}]}',
        f'{{"schema": 1, "guesses": [{{"question": "?", "guess": 1{"0" * 400}, "at": "2026-03-02T09:00:00Z"}}]}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_set_aside_and_a_new_one_begins(text):
    path().write_text(text)
    assert read() == {}
    aside = list(path().parent.glob("guesses.damaged-*.json"))
    assert [one.read_text() for one in aside] == [text]
    assert note(ASKED, 500, 20) == ""
    assert read()[ASKED].measured == 20


def test_a_guess_from_before_the_clock_was_set_back_is_due_now():
    note(ASKED, 500, 20, now=datetime.now(UTC) + days(400))
    ((due, *_),) = waiting(read())
    assert due <= datetime.now(UTC)


def test_a_number_beyond_all_numbers_is_not_kept_and_said():
    assert "a number above zero was expected" in note(ASKED, 10**400)


def test_a_newer_file_is_left_as_it_is():
    path().write_text(newer := json.dumps({"schema": 2, "guesses": []}))
    assert "of a newer loopclinic" in note(ASKED, 500)
    assert path().read_text() == newer


def test_what_cannot_be_kept_is_said_with_its_repair(monkeypatch):
    monkeypatch.setattr(guesses, "FileLock", lambda file, timeout: FileLock(file, timeout=0))
    with FileLock(path().with_suffix(".lock")):
        assert "LOOPCLINIC_HOME" in note(ASKED, 500)


def test_old_questions_give_way(monkeypatch):
    monkeypatch.setattr(guesses, "_MOST", 3)
    for number in range(5):
        note(f"{number}?", 1.0, now=MONDAY + days(number))
    assert list(read()) == ["2?", "3?", "4?"]
