"""The learner's guesses in one file of the state folder: guessed, measured, and when each is asked again."""

import contextlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from loopclinic.paths import state_dir

COMES_BACK = timedelta(days=3)
"""Time after which a wrong guess, or a wrong answer to its card, is asked again."""
CLOSE = 1.25
"""Ratio up to which a guess counts as right: nobody guesses a digit better."""
_SCHEMA = 1
_MOST = 200
"""Questions that are kept; the oldest give way."""
_LAST_YEAR = 9990


def is_close(guess: float, measured: float) -> bool:
    """Return whether a guess counts as right."""
    return 1 / CLOSE <= measured / guess <= CLOSE


@dataclass(slots=True)
class Guess:
    """One guess; `at` is the moment of the guess, the measurement or the last answer to its card."""

    question: str
    guess: float
    at: datetime
    measured: float | None = None
    known: bool = False
    """Whether the last answer to its card was right."""

    def __post_init__(self) -> None:
        for number in (self.guess, 1.0 if self.measured is None else self.measured):
            if not 0 < number <= sys.float_info.max:
                raise ValueError(f"{number}: a number above zero was expected")
        if self.at.tzinfo is None or self.at.year > _LAST_YEAR:
            raise ValueError(f"{self.at} has no time zone, or is no time of ours")
        if not isinstance(self.question, str):
            raise TypeError(f"{self.question!r} is no question")

    @property
    def due_at(self) -> datetime | None:
        """When it is asked again; None for a right guess, one that is known by now or was never measured."""
        if self.measured is None or is_close(self.guess, self.measured) or self.known:
            return None
        return self.at + COMES_BACK


Guesses = dict[str, Guess]
"""By question."""


def note(
    question: str, guess: float, measured: float | None = None, now: datetime | None = None
) -> str:
    """Keep a guess, and what was measured; return "", or a sentence that says why it can't be kept.

    The first guess with a measurement counts: who has seen the measurement no longer guesses.
    """
    try:
        with change() as kept:
            if question not in kept or kept[question].measured is None:
                kept[question] = Guess(question, guess, now or datetime.now(UTC), measured)
    except (OSError, Timeout, ValueError) as error:
        step = "set LOOPCLINIC_HOME to a folder you may write to."
        return f" Your guess is not kept ({error}): {step}"
    return ""


def path() -> Path:
    """Return the file that holds the guesses."""
    return state_dir() / "guesses.json"


def read() -> Guesses:
    """Return the guesses so far; a file that can't be understood is renamed, and none are left."""
    file = path()
    try:
        found = json.loads(file.read_bytes())
        if found["schema"] > _SCHEMA:
            raise PermissionError(f"{file} is of a newer loopclinic: upgrade this one.")
        moment = datetime.fromisoformat
        kept = [Guess(**{**one, "at": moment(one["at"])}) for one in found["guesses"]]
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        with contextlib.suppress(FileNotFoundError):
            file.replace(file.with_name(f"guesses.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"))
        return {}
    return {one.question: one for one in kept}


@contextmanager
def change() -> Iterator[Guesses]:
    """Read the guesses, let the body change them, and write them back; OSError or Timeout if that fails."""
    file = path()
    with FileLock(file.with_suffix(".lock"), timeout=5):
        kept = read()
        yield kept
        newest = sorted(kept.values(), key=lambda one: one.at)[-_MOST:]
        made = {"schema": _SCHEMA, "guesses": [asdict(one) for one in newest]}
        new = file.with_suffix(".new")
        new.write_text(json.dumps(made, indent=1, default=datetime.isoformat), "utf-8")
        new.replace(file)  # a reader finds the old content or the new, whole
