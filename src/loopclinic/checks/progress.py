"""What the learner has done so far: one small file in the user's state folder."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from loopclinic.places import state_dir
from loopclinic.verdict import Verdict

__all__ = [
    "VARIABLE",
    "LessonProgress",
    "Progress",
    "ProgressError",
    "change",
    "read",
    "timestamp",
]

VARIABLE = "LOOPCLINIC_PROGRESS"
"""Names a file for the progress of runs that are no learner's, such as the gallery's."""

_SCHEMA = 1


class ProgressError(RuntimeError):
    """Progress can't be kept; the message says what to do."""


@dataclass(slots=True)
class LessonProgress:
    """One lesson: how often checked, when passed (ISO time, UTC), hints and solution seen."""

    attempts: int = 0
    passed_at: str | None = None
    last_status: str | None = None
    last_conflicts: list[str] = field(default_factory=list)
    last_headline: str = ""
    last_checked: str | None = None
    hints: int = 0
    solution_seen: str | None = None
    met: dict[str, int] = field(default_factory=dict)
    """Conflict -> how many checks have found it."""

    @property
    def passed(self) -> bool:
        """Whether a check has passed once."""
        return self.passed_at is not None


@dataclass(slots=True)
class Progress:
    """All lessons by name. `complaint` says what was wrong with the file, for the learner to read."""

    lessons: dict[str, LessonProgress] = field(default_factory=dict)
    told_about_rights: bool = False
    complaint: str = ""
    token: str = ""
    """Random, made with the first hand-in: two files of one learner are seen to be one learner's."""

    def of(self, name: str) -> LessonProgress:
        """Return the progress of the lesson with this name, made if there is none."""
        return self.lessons.setdefault(name, LessonProgress())

    def note(self, verdict: Verdict) -> None:
        """Remember what a check of the learner's own file concluded."""
        if verdict.status == "could-not-run":
            return
        one = self.of(verdict.lesson)
        now = timestamp()
        one.attempts += 1
        one.last_status, one.last_checked = verdict.status, now
        one.last_conflicts = list(verdict.conflicts)
        for conflict in verdict.conflicts:
            one.met[conflict] = one.met.get(conflict, 0) + 1
        one.last_headline = verdict.headline
        if verdict.passed and one.passed_at is None:
            one.passed_at = now

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values (schema 1)."""
        return {
            "schema": _SCHEMA,
            "told_about_rights": self.told_about_rights,
            "token": self.token,
            "lessons": {name: asdict(one) for name, one in sorted(self.lessons.items())},
        }


def timestamp() -> str:
    """Return now as ISO text, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def path() -> Path:
    """Return the file that holds the progress: `LOOPCLINIC_PROGRESS`, else one in the state folder."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else state_dir() / "progress.json"


def read() -> Progress:
    """Return the progress so far; a file that can't be understood is set aside and complained of.

    Raises:
        ProgressError: a newer loopclinic wrote it, or it can't be read.
    """
    file = path()
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return Progress()
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        raise ProgressError(
            f"{file} can't be read ({error.strerror}): give yourself the right to read it."
        ) from error
    try:
        return _from_dict(json.loads(text), file)
    except (ValueError, TypeError, AttributeError, KeyError):
        return _set_aside(file)


def _from_dict(data: dict[str, Any], file: Path) -> Progress:
    if isinstance(data["schema"], int) and data["schema"] > _SCHEMA:
        raise ProgressError(
            f"{file} is of a newer loopclinic: upgrade this one, or set LOOPCLINIC_HOME "
            "to another folder."
        )
    if data["schema"] != _SCHEMA:
        raise ValueError(data["schema"])
    known = set(LessonProgress.__dataclass_fields__)
    lessons = {
        name: LessonProgress(**{key: value for key, value in one.items() if key in known})
        for name, one in data["lessons"].items()
    }
    for one in lessons.values():
        if not isinstance(one.attempts, int) or not isinstance(one.hints, int):
            raise TypeError(one)
        if not isinstance(one.met, dict):
            raise TypeError(one)
    return Progress(
        lessons=lessons,
        told_about_rights=bool(data["told_about_rights"]),
        token=str(data.get("token", "")),
    )


def _set_aside(file: Path) -> Progress:
    aside = file.with_name(f"progress.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.json")
    with contextlib.suppress(FileNotFoundError):
        file.replace(aside)
    return Progress(
        complaint=f"The record of your progress could not be understood; it was kept as {aside}, "
        "and a new one begins."
    )


@contextmanager
def change() -> Iterator[Progress]:
    """Read the progress, let the body change it, and write it back whole, one process at a time.

    Raises:
        ProgressError: it can't be written, or another process holds it for 5 s.
    """
    try:
        file = path()
        with FileLock(file.with_suffix(".lock"), timeout=5):
            progress = read()
            yield progress
            _write(file, progress)
    except Timeout as error:
        raise ProgressError(
            "Another loopclinic process holds the record of your progress: end it and try again."
        ) from error
    except OSError as error:
        raise ProgressError(
            f"Your progress can't be saved ({error.strerror or error}): set LOOPCLINIC_HOME to a "
            "folder you may write to."
        ) from error


def _write(file: Path, progress: Progress) -> None:
    number, name = tempfile.mkstemp(dir=file.parent, prefix=".progress-")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as stream:
            json.dump(progress.to_dict(), stream, indent=1, ensure_ascii=False)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
