"""`loopclinic recall`: asks wrong guesses again after three days, with other numbers."""

import argparse
import math
import random
import re
from datetime import UTC, datetime

from loopclinic.lessons import lesson
from loopclinic.recall import guesses
from loopclinic.recall.cards import Card, in_words, waiting
from loopclinic.units import count


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "A wrong guess of a notebook comes back after three days, with other numbers, until you know the "
        "answer. Guesses are kept on this computer only."
    )


def run(_: argparse.Namespace) -> int:
    """Ask every card that is due; one that is left open stays due."""
    cards, now = waiting(guesses.read()), datetime.now(UTC)
    due = [(card, guess) for at, card, guess in cards if at <= now]
    if not due:
        then = f" The next is due on {cards[0][0].astimezone():%Y-%m-%d}." if cards else ""
        print(f"No card is due.{then}")
        return 0
    how = "An answer within a quarter is right; Ctrl-D leaves the rest."
    print(f"{count(len(due), 'card')} due. {how}")
    try:
        known = sum(_ask(card, guess.question) for card, guess in due)
    except EOFError:
        print()
        return 0
    rest = f" The rest comes back in {guesses.COMES_BACK.days} days." if known < len(due) else ""
    print(f"\n{known} of {len(due)} known.{rest}")
    return 0


def _ask(card: Card, asked: str) -> bool:
    one = lesson(card.lesson)
    question, right, why = card.draw(random.Random())  # noqa: S311 - no secret
    print(f"\n{one.number} {one.title}\n{question}")
    while (answer := number_of(typed := input(f"  {card.unit}: "), card.unit)) is None:
        print(f"  {typed!r} is no number above zero: type one, in {card.unit}.")
    known = guesses.is_close(answer, right)
    print(f"  {'Right' if known else 'No'}: {in_words(right, card.unit)}. {why}")
    if not known:
        print(f"  To read again: notebooks/{one.name}.ipynb")
    with guesses.change() as kept:
        if asked in kept:
            kept[asked].known, kept[asked].at = known, datetime.now(UTC)
    return known


def number_of(text: str, unit: str) -> float | None:
    """Return the number that was typed, in `unit`: `1,000`, `12 posts`; seconds also as `250 ms`."""
    found = re.fullmatch(r"([\d,]*\.?\d+)\s*(.*)", text.strip().casefold())
    scale = {unit: 1.0, unit.removesuffix("s"): 1.0, "": 1.0}
    scale |= {"s": {"s": 1.0, "ms": 0.001}, "ms": {"s": 1000.0}}.get(unit, {})
    if found is None or found[2] not in scale:
        return None
    value = float(found[1].replace(",", "")) * scale[found[2]]
    return value if 0 < value < math.inf else None
