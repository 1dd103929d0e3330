"""Entries: what is sent, and that nothing else is accepted."""

import json
from datetime import UTC, datetime

import pytest

from loopclinic.checks import progress
from loopclinic.lessons import lessons
from loopclinic.recall import guesses
from loopclinic.recall.cards import CARDS
from loopclinic.room.entry import LARGEST, RefusedEntryError, entry_to_send, read_entry
from loopclinic.verdict import Reason, Verdict

from .conftest import entry, lab

ASKED = "How many of 2,000 are published?"


def test_what_is_sent_is_accepted_and_holds_no_code_no_path_and_no_name():
    with progress.change() as kept:
        where = {"file": "/home/kim/labs/01.py", "line": 3}
        reason = Reason("It sleeps.", "blocking-retry", "412 ms", "50 ms", **where)
        kept.note(Verdict("01_blocking_sleep", "not-yet", (reason,)))
    guesses.note(ASKED, 500, 20, now=datetime(2099, 1, 1, tzinfo=UTC))
    guesses.note("What is the password of the database?", 7)
    sent = json.dumps(entry_to_send(""))
    for secret in ("/home", "kim", "It sleeps", "password", progress.read().token):
        assert secret not in sent
    found = read_entry(sent.encode())
    assert (found.results.name, found.at) == ("", "04")
    assert found.guesses == {"04": (500, 20)}
    mine = found.results.lessons["01_blocking_sleep"]
    assert (mine.attempts, mine.last_status, mine.last_conflicts) == (
        1,
        "not-yet",
        ["blocking-retry"],
    )
    assert read_entry(json.dumps(entry_to_send("  Kim\n")).encode()).results.name == "Kim"


def test_nobody_who_has_done_nothing_is_anywhere_but_at_the_beginning():
    assert read_entry(json.dumps(entry_to_send("")).encode()).at == "00"


def test_where_somebody_is_goes_by_the_newest_guess_or_check():
    guesses.note(ASKED, 500, now=datetime(2020, 1, 1, tzinfo=UTC))
    assert entry_to_send("")["at"] == "04"
    with progress.change() as kept:
        kept.note(Verdict("02_sync_database", "not-yet"))
    assert entry_to_send("")["at"] == "02"


def test_the_largest_entry_that_the_kit_sends_is_within_the_limit():
    labs = {
        one.name: lab(10**6, found=one.conflicts) for one in lessons() if one.shipped is not None
    }
    all_guesses = {card.lesson: [123456.789, 0.000123456789] for card in CARDS}
    raw = entry(name="x" * 60, lessons=labs, guesses=all_guesses)
    assert 2 * len(raw) < LARGEST
    assert len(read_entry(raw).guesses) == len(CARDS)


GOOD = json.loads(entry(lessons={"01_blocking_sleep": lab()}, guesses={"01": [1.0, None]}))


def changed(path, value):
    """Return the good entry as bytes, with one value replaced."""
    made = json.loads(json.dumps(GOOD))
    inside = made
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return json.dumps(made).encode()


LAB = ("lessons", "01_blocking_sleep")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"[" * 30_000,
        b'{"a":' * 6000,
        b"9" * 30_000,
        changed(["schema"], 2),
        changed(["lessons"], []),
        changed(LAB, None),
        changed([*LAB, "attempts"], -1),
        changed([*LAB, "attempts"], True),
        changed([*LAB, "attempts"], 10**9),
        changed([*LAB, "passed_at"], "<script>alert(1)</script>"),
        changed([*LAB, "passed_at"], 7),
        changed([*LAB, "last_checked"], ["now"]),
        changed([*LAB, "met"], []),
        changed([*LAB, "met"], {"blocking-retry": "many"}),
        changed([*LAB, "last_status"], ["passed"]),
        changed([*LAB, "last_conflicts"], [["blocking-retry"]]),
        changed(["guesses"], None),
        changed(["guesses"], ["01"]),
        changed(["guesses", "01"], [0, None]),
        changed(["guesses", "01"], [-1, None]),
        changed(["guesses", "01"], [1e300, None]),
        changed(["guesses", "01"], ["1", None]),
        changed(["guesses", "01"], [True, None]),
        changed(["guesses", "01"], [1, float("nan")]),
        changed(["guesses", "01"], [float("inf"), 1]),
        changed(["guesses", "01"], [1]),
        changed(["guesses", "01"], {"guess": 1, "measured": 1}),
        changed(["at"], None),
        changed(["at"], "<b>"),
        changed(["at"], ["01"]),
    ],
    ids=lambda raw: raw[:40].decode(errors="replace"),
)
def test_hostile_entries_are_refused_without_repeating_them(raw):
    with pytest.raises(RefusedEntryError) as refused:
        read_entry(raw)
    assert str(refused.value) == "The entry is none that loopclinic sends."


def test_unknown_lessons_conflicts_and_statuses_are_left_out():
    strange = lab(found=["<b>", "blocking-retry"], status="<b>")
    lessons = {"01_blocking_sleep": strange, "99_mine": lab()}
    found = read_entry(entry(lessons=lessons, guesses={"99": [1, 2], "01": [1, 2]}, more="<b>"))
    assert [*found.results.lessons] == ["01_blocking_sleep"]
    assert found.results.lessons["01_blocking_sleep"].last_conflicts == ["blocking-retry"]
    assert found.results.lessons["01_blocking_sleep"].last_status is None
    assert found.guesses == {"01": (1, 2)}
