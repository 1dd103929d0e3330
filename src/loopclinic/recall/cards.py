"""Cards: the question of each Predict, asked again with other numbers, and its answer worked out from them."""

import random
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loopclinic.drawing.tables import span
from loopclinic.recall.guesses import Guess, Guesses


@dataclass(frozen=True)
class Card:
    """The card of one lesson, as cards.toml has it; `question` and `why` have the drawn numbers in braces."""

    lesson: str
    asked: str
    unit: str
    question: str
    why: str
    numbers: Mapping[str, tuple[int, int, int]]

    def draw(self, rng: random.Random) -> tuple[str, float, str]:
        """Draw numbers anew; return the question, its answer in the card's unit, and why that is so."""
        ranges = ((name, *given) for name, given in self.numbers.items())
        given = {name: rng.randrange(first, last + 1, step) for name, first, last, step in ranges}
        answer = float(ANSWERS[self.lesson](**given))
        return self.question.format_map(given), answer, self.why.format_map(given)


ANSWERS: dict[str, Callable[..., float]] = {
    "01": lambda callers, pause: callers * pause / 1000,
    "02": lambda query, **_: 1000 / query,
    "03": lambda rate, delay: rate * delay / 1000,
    "04": lambda places, **_: places,
    "05": lambda others, chain, **_: (others + chain) / chain,
    "06": lambda uploads, upload, threads: uploads // threads * upload,
    "07": lambda line, hop: (hop + line) / line,
    "08": lambda threads, interval: threads * interval / 1000,
    "09": lambda pool, **_: pool,
    "10": lambda places, pages, attempts, timeout: pages // places * attempts * timeout / 1000,
    "11": lambda asleep, **_: asleep,
    "12": lambda tasks, least, **_: tasks * least,
    "13": lambda endpoints, calls: endpoints * (calls - 1),
    "14": lambda queued, **_: queued,
}
"""What a card's numbers lead to, in its unit."""

_FILE = Path(__file__).with_name("cards.toml")
CARDS = tuple(Card(**one) for one in tomllib.loads(_FILE.read_text("utf-8"))["card"])


def in_words(value: float, unit: str) -> str:
    """Return a number with its unit: seconds as s or ms, other units without their plural's `s` at 1."""
    if unit == "s":
        return span(value)
    figure = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    one = figure == "1" and unit.isalpha()
    return f"{figure} {unit.removesuffix('s') if one else unit}".rstrip()


def card_of(question: str) -> Card | None:
    """Return the card of what a notebook asked; None for a question that is none of the kit's."""
    return next((one for one in CARDS if question.startswith(one.asked)), None)


def waiting(kept: Guesses) -> list[tuple[datetime, Card, Guess]]:
    """Return each wrong guess that has a card, and when it is due, the first due first.

    One that was made later than now, before the clock was set back, is due now.
    """
    now = datetime.now(UTC)
    found = [
        (due if one.at <= now else now, card, one)
        for one in kept.values()
        if (due := one.due_at) is not None and (card := card_of(one.question)) is not None
    ]
    return sorted(found, key=lambda one: (one[0], one[1].lesson))
