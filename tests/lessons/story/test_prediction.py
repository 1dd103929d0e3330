"""The guess widget: keeps what was guessed, and says it in words."""

import math
import re

import pytest

from loopclinic.lessons.story.prediction import Prediction


@pytest.fixture(autouse=True)
def _forgotten():
    Prediction._guesses.clear()


def test_the_guess_outlives_a_second_run_of_its_cell():
    first = Prediction("how long?")
    first.guess = 0.5
    assert Prediction("how long?").guess == 0.5
    assert Prediction("how many?").guess is None


def test_a_guess_taken_back_is_forgotten():
    first = Prediction("how long?")
    first.guess = 0.5
    first.guess = None
    assert Prediction("how long?").guess is None


@pytest.mark.parametrize(
    ("guess", "measured", "words"),
    [
        (None, 2.0, "You made no guess"),
        (0.5, 2.0, "4.0 times your guess"),
        (2.0, 0.1, "20 times too high"),
        (1.0, 1.1, "Your guess was right"),
    ],
)
def test_guess_and_measurement_are_compared_in_words(guess, measured, words):
    asked = Prediction("how long?")
    asked.guess = guess
    drawing = asked.against(measured, "for the last one")
    assert words in str(drawing)
    assert "for the last one" in str(drawing)
    html = drawing._repr_html_()
    assert ("your guess<" in html) == (guess is not None)
    if guess is not None:
        wide = list(map(float, re.findall(r"<rect [^>]*width='([\d.]+)'", html)))
        for first, second in (wide[:2], wide[2:]):
            assert first / second == pytest.approx(guess / measured, rel=0.03), "bars do not lie"


@pytest.mark.parametrize("measured", [0.0, -1.0, math.nan, math.inf])
def test_a_measurement_is_a_number_above_zero(measured):
    with pytest.raises(ValueError, match="above zero"):
        Prediction("how long?").against(measured)


def test_a_scale_begins_above_zero():
    with pytest.raises(ValueError, match="0 < low < high"):
        Prediction("how long?", low=0)


def test_without_a_widget_there_is_text():
    asked = Prediction("How <long>?")
    asked.guess = 0.25
    data, _ = asked._repr_mimebundle_()
    assert data["text/plain"] == "How <long>? (your guess: 250 ms)"
    assert "How &lt;long&gt;?" in data["text/html"]


def test_large_numbers_are_written_out():
    guess = Prediction("How many of them?", unit="posts", low=10, high=2000)
    guess.guess = 2000.0
    assert "1,234 posts published" in str(guess.against(1234, "published"))
    assert "2,000 posts" in guess.against(1234)._repr_html_()


def test_one_of_something_is_no_plural():
    guess = Prediction("How many of them?", unit="updates", low=1, high=300)
    guess.guess = 1.0
    assert str(guess.against(1, "lost")).startswith("1 update lost.")
    assert "your guess: 1 update)" in guess._repr_mimebundle_()[0]["text/plain"]
    assert "2 updates" in str(guess.against(2))
    assert "1 /s" in str(Prediction("How fast?", unit="/s").against(1))


@pytest.mark.parametrize("unit", ["s", "posts", "messages a minute"])
def test_the_picture_has_room_for_the_figures_at_the_ends_of_its_bars(unit):
    drawing = Prediction("How many?", unit=unit, low=1, high=5000).against(4321).html
    ends = re.findall(r"<text x='([\d.]+)'[^>]*>([^<]*)</text>", drawing)
    figures = [(float(x), words) for x, words in ends if words.startswith(("4,321", "4321", "1 h"))]
    assert figures
    assert all(x + 6.2 * len(words) < 760 for x, words in figures)
