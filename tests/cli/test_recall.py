"""`loopclinic recall`: what is due is asked with other numbers, and comes back or ends."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from loopclinic.cli import recall
from loopclinic.cli.main import main
from loopclinic.lessons.start_here import self_check
from loopclinic.recall import guesses
from loopclinic.recall.cards import card_of

ASKED = "How many of 2,000 are published?"
NOW = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)


class Clock(datetime):
    """Now, as the test says."""

    at = NOW

    @classmethod
    def now(cls, tz=None):
        return cls.at


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(Clock, "at", NOW)
    for module in (recall, self_check):
        monkeypatch.setattr(module, "datetime", Clock)
    return Clock


@pytest.fixture
def typed(monkeypatch):
    """Answer with these texts, one after another, to the card with the numbers of seed 5."""
    monkeypatch.setattr(recall.random, "Random", lambda make=random.Random: make(5))

    def answer(*texts):
        left = list(texts)

        def read(_):
            if not left:
                raise EOFError
            return left.pop(0)

        monkeypatch.setattr("builtins.input", read)
        return left

    return answer


def wrong(days_ago=4, question=ASKED):
    guesses.note(question, 500, 20, now=NOW - timedelta(days=days_ago))


RIGHT = f"{card_of(ASKED).draw(random.Random(5))[1]:g}"


def test_nothing_is_due_before_three_days_and_the_day_is_named(capsys, clock):
    assert main(["recall"]) == 0
    assert capsys.readouterr().out == "No card is due.\n"
    wrong(days_ago=2)
    wrong(days_ago=9, question="of the reader's own?")  # it has no card
    assert main(["recall"]) == 0
    assert "No card is due. The next is due on 2026-03-10." in capsys.readouterr().out
    assert self_check._recall() is None
    clock.at = NOW + timedelta(days=1)
    assert self_check._recall() == ("Recall", "1 card due", "loopclinic recall")


def test_notebook_00_has_a_line_only_if_a_card_is_due(monkeypatch):
    monkeypatch.setattr(self_check, "_QUESTIONS", {"Recall": self_check._recall})
    assert str(self_check.self_check()) == ""
    wrong()
    assert "Recall: to do; 1 card due, loopclinic recall" in " ".join(
        str(self_check.self_check()).split()
    )
    guesses.path().write_text('{"schema": 2}')
    assert "of a newer loopclinic" in str(self_check.self_check())


def test_a_right_answer_ends_it(typed, capsys):
    wrong()
    typed("many", "0", f"{RIGHT} posts")
    assert main(["recall"]) == 0
    said = capsys.readouterr().out
    assert "04 Faster, faster, refused" in said
    assert "'many' is no number above zero" in said
    assert "'0' is no number" in said
    assert f"Right: {RIGHT} posts." in said
    assert said.endswith("1 of 1 known.\n")
    assert guesses.read()[ASKED].due_at is None


def test_a_wrong_answer_comes_back_after_three_days_more(typed, capsys):
    wrong()
    typed("2000")
    assert main(["recall"]) == 0
    said = capsys.readouterr().out
    assert "notebooks/04_unbounded_gather.ipynb" in said
    assert said.endswith("0 of 1 known. The rest comes back in 3 days.\n")
    assert guesses.read()[ASKED].due_at == NOW + timedelta(days=3)


def test_a_card_that_is_left_open_stays_due(typed):
    wrong()
    before = guesses.read()
    typed()
    assert main(["recall"]) == 0
    assert guesses.read() == before


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("1,000", "posts", 1000),
        ("1 post", "posts", 1),
        ("2.5", "s", 2.5),
        ("250 ms", "s", 0.25),
        ("0.25S", "s", 0.25),
        ("2 s", "ms", 2000),
        ("40 /s", "/s", 40),
        ("40 posts", "s", None),
        ("-3", "posts", None),
        ("1.2.3", "posts", None),
        ("9" * 400, "posts", None),
        ("nan", "posts", None),
        ("", "posts", None),
    ],
)
def test_numbers_as_people_type_them(text, unit, number):
    assert recall.number_of(text, unit) == (pytest.approx(number) if number else None)
