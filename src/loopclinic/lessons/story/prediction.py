"""Widget that takes the reader's guess before an experiment and compares it with the measurement."""

from html import escape
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from loopclinic.drawing import scripted, styled
from loopclinic.drawing.charts import Bar, bars
from loopclinic.drawing.tables import Drawing
from loopclinic.recall import guesses
from loopclinic.recall.cards import card_of, in_words

_HERE = Path(__file__).parent

NO_GUESS = "You made no guess: that is fine, but the next one stays with you longer if you do."


class Prediction(anywidget.AnyWidget):
    """Ask for a number on a logarithmic scale, and keep the answer: a wrong one comes back as a card.

    Args:
        question: one question, whose answer is a number.
        unit: `s` is shown as ms or s; any other unit follows the number, and loses its plural's `s` at 1.
        low: where the scale begins, above zero.
        high: where it ends.

    Run again, a cell with the same question shows the guess that was made before.

    Raises:
        ValueError: the scale is none.
    """

    _esm = scripted(_HERE / "prediction.js")
    _css = styled(_HERE / "prediction.css")
    question = traitlets.Unicode().tag(sync=True)
    unit = traitlets.Unicode("s").tag(sync=True)
    low = traitlets.Float(0.001).tag(sync=True)
    high = traitlets.Float(100.0).tag(sync=True)
    guess = traitlets.Float(None, allow_none=True).tag(sync=True)

    _guesses: ClassVar[dict[str, float]] = {}

    def __init__(
        self, question: str, *, unit: str = "s", low: float = 0.001, high: float = 100.0
    ) -> None:
        if not 0 < low < high:
            raise ValueError(f"Prediction(low={low}, high={high}): 0 < low < high.")
        super().__init__(
            question=question, unit=unit, low=low, high=high, guess=self._guesses.get(question)
        )
        # May run on another thread than the cell's; a slider that was released sends one number.
        self.observe(self._keep, names="guess")

    def _keep(self, change: dict[str, Any]) -> None:
        if change["new"] is None:
            self._guesses.pop(self.question, None)
        else:
            self._guesses[self.question] = change["new"]
            guesses.note(self.question, change["new"])

    def against(self, measured: float, what: str = "measured") -> Drawing:
        """Return guess and measurement as bars from zero, with the ratio in words.

        `measured` is in the guess's unit; `what` says of what, after the number. Without a guess,
        the measurement alone.

        Raises:
            ValueError: `measured` is not a number above zero.
        """
        if not (isfinite(measured) and measured > 0):
            raise ValueError(f"Prediction.against({measured}): a number above zero was expected.")
        guess, words, judged = self.guess, self._words(measured), _judged(self.guess, measured)
        if guess is not None:
            if not guesses.is_close(guess, measured) and card_of(self.question) is not None:
                judged += f" The question comes back in {guesses.COMES_BACK.days} days: loopclinic recall."
            judged += guesses.note(self.question, guess, measured)
        shown = [Bar("measured", measured, "var(--lc-stall)")]
        if guess is not None:
            shown.insert(0, Bar("your guess", guess, "var(--lc-lag)"))
        svg = bars(shown, write=self._words, label="from zero, on a linear scale")
        said = f"<b>{escape(words)}</b> {escape(what)}. {escape(judged)}"
        return Drawing(f"<p class='lc-say'>{said}</p>{svg}", f"{words} {what}. {judged}")

    def _words(self, value: float) -> str:
        return in_words(value, self.unit)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        # Where there is no widget: exported pages, a terminal.
        guess = "no guess yet" if self.guess is None else f"your guess: {self._words(self.guess)}"
        data["text/plain"] = f"{self.question} ({guess})"
        data["text/html"] = f"<p>{escape(self.question)} <em>({escape(guess)})</em></p>"
        return data, metadata


def _judged(guess: float | None, measured: float) -> str:
    if guess is None:
        return NO_GUESS
    ratio = measured / guess
    if guesses.is_close(guess, measured):
        return "Your guess was right."
    many = ratio if ratio > 1 else 1 / ratio
    times = f"{many:,.0f}" if many >= 9.5 else f"{many:.1f}"
    return f"{times} times your guess." if ratio > 1 else f"Your guess was {times} times too high."
