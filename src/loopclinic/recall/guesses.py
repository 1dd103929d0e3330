"""The learner's guesses in one file of the state folder: guessed, measured, and when each is asked again."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from loopclinic.paths import state_dir

COMES_BACK = timedelta(days=3)
"""Time after which a wrong guess, or a wrong answer to its card, is asked again."""
CLOSE = 1.25
"""Ratio up to which a guess counts as right: nobody guesses a digit better."""
_SCHEMA = 1
_MOST = 200
"""Questions that are kept; the oldest give way."""


def is_close(guess: float, measured: float) -> bool:
    """Return whether a guess counts as right."""
    return 1 / CLOSE <= measured / guess <= CLOSE


@dataclass(slots=True)
class Guess:
    """One guess: `at`, `measured_at` and `asked_at` are moments; the last answer to its card was `known`."""

    question: str
    unit: str
    guess: float
    at: datetime
    measured: float | None = None
    measured_at: datetime | None = None
    asked_at: datetime | None = None
    known: bool = False

    @property
    def due_at(self) -> datetime | None:
        """When it is asked again; None for a right guess, one that was learned or was never measured."""
        if self.measured is None or is_close(self.guess, self.measured) or self.known:
            return None
        return (self.asked_at or self.measured_at or self.at) + COMES_BACK


Guesses = dict[str, Guess]
"""By question."""


def note(
    question: str,
    unit: str,
    guess: float,
    measured: float | None = None,
    now: datetime | None = None,
) -> str:
    """Keep a guess, and what was measured; return "", or a sentence that says why it can't be kept.

    The first guess with a measurement counts: who has seen the measurement no longer guesses.
    """
    moment = now or datetime.now(UTC)
    if not guess > 0:
        return ""
    try:
        with change() as kept:
            one = kept.get(question)
            if one is not None and one.measured is not None:
                return ""
            measured_at = None if measured is None else moment
            kept[question] = Guess(question, unit, guess, moment, measured, measured_at)
    except (OSError, Timeout) as error:
        return (
            f" Your guess is not kept ({error}): set LOOPCLINIC_HOME to a folder you may write to."
        )
    return ""


def path() -> Path:
    """Return the file that holds the guesses."""
    return state_dir() / "guesses.json"


def read() -> Guesses:
    """Return the guesses so far; a file that can't be understood is renamed, and none are left.

    Raises:
        OSError: it can't be read.
    """
    file = path()
    try:
        found = json.loads(file.read_bytes())
        if found["schema"] > _SCHEMA:
            raise PermissionError(f"{file} is of a newer loopclinic: upgrade this one.")
        return {one.question: one for one in map(_guess, found["guesses"])}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        with contextlib.suppress(FileNotFoundError):
            file.replace(file.with_name(f"guesses.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"))
        return {}


@contextmanager
def change() -> Iterator[Guesses]:
    """Read the guesses, let the body change them, and write them back whole, one process at a time.

    Raises:
        OSError: they can't be read or written.
        Timeout: another process holds them for 5 s.
    """
    file = path()
    with FileLock(file.with_suffix(".lock"), timeout=5):
        kept = read()
        yield kept
        newest = sorted(kept.values(), key=lambda one: one.at)[-_MOST:]
        made = {"schema": _SCHEMA, "guesses": [asdict(one) for one in newest]}
        new = file.with_suffix(".new")
        new.write_text(json.dumps(made, indent=1, default=datetime.isoformat), "utf-8")
        os.replace(new, file)  # noqa: PTH105 - a reader finds the old content or the new, whole


def _guess(kept: dict[str, Any]) -> Guess:
    moments = {name: kept.get(name) for name in ("at", "measured_at", "asked_at")}
    one = Guess(**{**kept, **{name: _moment(text) for name, text in moments.items()}})
    for number in (one.guess, 1.0 if one.measured is None else one.measured):
        if isinstance(number, bool) or not (math.isfinite(number) and number > 0):
            raise ValueError(number)
    return one


def _moment(text: str | None) -> datetime | None:
    found = None if text is None else datetime.fromisoformat(text)
    if found is not None and found.tzinfo is None:
        raise ValueError(text)
    return found
