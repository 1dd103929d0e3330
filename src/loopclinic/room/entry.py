"""What a learner's computer sends to a live room, and what the room accepts of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from loopclinic.checks.class_results import HandIn, hand_in, results_of
from loopclinic.lessons import lesson, lessons
from loopclinic.recall import guesses
from loopclinic.recall.cards import CARDS, card_of

LARGEST = 32_768
"""Bytes of an entry. One with all lessons, guesses and conflicts takes a third of it."""
_NUMBERS = {card.lesson for card in CARDS}


class RefusedEntryError(ValueError):
    """An entry is none that the kit sends; the message holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One learner's results, (guess, measurement or None) by lesson number, and the lesson they are at."""

    results: HandIn
    guesses: Mapping[str, tuple[float, float | None]]
    at: str


def entry_to_send(name: str) -> dict[str, Any]:
    """Return this learner's entry as JSON values: a hand-in without its token, the guesses, the newest lesson."""
    made, mine = hand_in(name), {}
    kept = {one.number: made["lessons"].get(one.name, {}) for one in lessons()}
    moments = {number: one.get("last_checked") or "" for number, one in kept.items()}
    for guess in guesses.read().values():
        if card := card_of(guess.question):
            mine[card.lesson] = [guess.guess, guess.measured]
            moments[card.lesson] = max(guess.at.isoformat(), moments[card.lesson])
    at = max(moments, key=lambda number: moments[number])
    return {**made, "token": "", "written": "", "guesses": mine, "at": at}


def read_entry(raw: bytes) -> Entry:
    """Return the entry that was sent, without unknown lessons and conflicts; RefusedEntryError if it is none."""
    try:
        data = json.loads(raw)
        results, names = results_of(data), {one.name for one in lessons()}
        known = {name: one for name, one in results.lessons.items() if name in names}
        numbers = _NUMBERS & {*data["guesses"]}
        guessed = {number: _guess(*data["guesses"][number]) for number in numbers}
        return Entry(replace(results, lessons=known), guessed, lesson(str(data["at"])).number)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise RefusedEntryError("The entry is none that loopclinic sends.") from error


def _guess(guess: Any, measured: Any) -> tuple[float, float | None]:
    for value in (guess, 1.0 if measured is None else measured):
        if isinstance(value, bool) or not 1e-9 <= value <= 1e12:
            raise ValueError(value)
    return float(guess), None if measured is None else float(measured)
