"""The guess widget: keeps what was guessed, and says it in words."""

import math

import pytest

from loopclinic.lessons.prediction import Prediction


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
