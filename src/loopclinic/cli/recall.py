"""`loopclinic recall`: asks wrong guesses again after three days, with other numbers."""

import argparse
import math
import random
import re
from datetime import UTC, datetime

from loopclinic.lessons import lesson
from loopclinic.recall import guesses
from loopclinic.recall.cards import Card, draw, waiting
from loopclinic.units import count


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "A wrong guess of a notebook comes back after three days, with other numbers, until you know the "
        "answer. Guesses are kept on this computer only."
    )


def run(_: argparse.Namespace) -> int:
    """Ask every card that is due; one that is left open stays due."""
    now = datetime.now(UTC)
    cards = waiting(guesses.read())
    due = [(card, guess) for at, card, guess in cards if at <= now]
    if not due:
        then = f" The next is due on {cards[0][0].astimezone():%Y-%m-%d}." if cards else ""
        print(f"No card is due.{then}")
        return 0
    print(
        f"{count(len(due), 'card')} due. An answer within a quarter is right; Ctrl-D leaves the rest."
    )
    try:
        known = sum(_ask(card, guess.question) for card, guess in due)
    except EOFError:
        print()
        return 0
    print(f"\n{known} of {len(due)} known. The others come back in {guesses.COMES_BACK.days} days.")
    return 0


def _ask(card: Card, question: str) -> bool:
    one, drawn = lesson(card.lesson), draw(card, random.Random())  # noqa: S311 - no secret
    print(f"\n{one.number} {one.title}\n{drawn.question}")
    while (answer := number_of(typed := input(f"  {card.unit}: "), card.unit)) is None:
        print(f"  {typed!r} is no number above zero: type one, in {card.unit}.")
    known = guesses.is_close(answer, drawn.answer)
    print(f"  {'Right' if known else 'No'}: {drawn.words}. {drawn.why}")
    if not known:
        print(f"  To read again: notebooks/{one.name}.ipynb")
    with guesses.change() as kept:
        if question in kept:
            kept[question].known, kept[question].asked_at = known, datetime.now(UTC)
    return known


def number_of(text: str, unit: str) -> float | None:
    """Return the number that was typed, in `unit`: `1,000`, `12 posts`; seconds also as `250 ms`."""
    found = re.fullmatch(r"([\d.,_]*\d)\s*(.*)", text.strip())
    if found is None:
        return None
    scale = {"": 1.0, unit: 1.0, unit.removesuffix("s"): 1.0}
    scale |= {"s": {"s": 1.0, "ms": 0.001}, "ms": {"s": 1000.0, "ms": 1.0}}.get(unit, {})
    try:
        value = float(found[1].replace(",", "")) * scale[found[2].casefold()]
    except (ValueError, KeyError):
        return None
    return value if math.isfinite(value) and value > 0 else None
