"""Progress of the learner in one file of the state folder: attempts, passes, hints, the next lesson."""

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from loopclinic.checks.lab_files import write_whole
from loopclinic.lessons import Lesson, lessons
from loopclinic.paths import state_dir
from loopclinic.verdict import Verdict

VARIABLE = "LOOPCLINIC_PROGRESS"
"""Names a file for the progress of runs that are no learner's, such as the gallery's."""

_SCHEMA = 1
_SAVES = 40
"""Checks of one lab that are remembered singly."""


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
    saves: list[tuple[int, int, str]] = field(default_factory=list)
    """Of the last checks: promises kept, promises in all, status."""

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
        if verdict.status in ("too-busy", "could-not-run"):
            return
        one = self.of(verdict.lesson)
        now = timestamp()
        one.attempts += 1
        one.last_status, one.last_checked, one.last_headline = verdict.status, now, verdict.headline
        one.last_conflicts = list(verdict.conflicts)
        for conflict in verdict.conflicts:
            one.met[conflict] = one.met.get(conflict, 0) + 1
        kept = sum(promise.state == "kept" for promise in verdict.promises)
        one.saves = [*one.saves, (kept, len(verdict.promises), verdict.status)][-_SAVES:]
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

    ProgressError if a newer loopclinic wrote it, or it can't be read.
    """
    file = path()
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return Progress()
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        why = f"({error.strerror}): give yourself the right to read it"
        raise ProgressError(f"{file} can't be read {why}.") from error
    try:
        return _from_dict(json.loads(text), file)
    except (ValueError, TypeError, AttributeError, KeyError):
        return _set_aside(file)


def _from_dict(data: dict[str, Any], file: Path) -> Progress:
    if isinstance(data["schema"], int) and data["schema"] > _SCHEMA:
        step = "upgrade this one, or set LOOPCLINIC_HOME to another folder"
        raise ProgressError(f"{file} is of a newer loopclinic: {step}.")
    if data["schema"] != _SCHEMA:
        raise ValueError(data["schema"])
    known = set(LessonProgress.__dataclass_fields__)
    lessons = {
        name: LessonProgress(**{key: value for key, value in one.items() if key in known})
        for name, one in data["lessons"].items()
    }
    for one in lessons.values():
        counted = isinstance(one.attempts, int) and isinstance(one.hints, int)
        if not (counted and isinstance(one.met, dict)):
            raise TypeError(one)
        one.saves = [(int(kept), int(many), str(status)) for kept, many, status in one.saves]
    told, token = bool(data["told_about_rights"]), str(data.get("token", ""))
    return Progress(lessons, told_about_rights=told, token=token)


def _set_aside(file: Path) -> Progress:
    aside = file.with_name(f"progress.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.json")
    with contextlib.suppress(FileNotFoundError):
        file.replace(aside)
    said = f"The record of your progress could not be understood; it was kept as {aside}, and a new one begins."
    return Progress(complaint=said)


@contextmanager
def change() -> Iterator[Progress]:
    """Read the progress, let the body change it, and write it back whole, one process at a time.

    ProgressError if it can't be written, or another process holds it for 5 s.
    """
    try:
        file = path()
        with FileLock(file.with_suffix(".lock"), timeout=5):
            progress = read()
            yield progress
            text = json.dumps(progress.to_dict(), indent=1, ensure_ascii=False)
            write_whole(file, text.encode(), 0o600)
    except Timeout as error:
        said = "Another loopclinic process holds the record of your progress: end it and try again."
        raise ProgressError(said) from error
    except OSError as error:
        why = f"({error.strerror or error}): set LOOPCLINIC_HOME to a folder you may write to"
        raise ProgressError(f"Your progress can't be saved {why}.") from error


def state_of(lesson: Lesson, progress: Progress) -> str:
    """Return `passed`, `begun`, `new`, or `open` for a lesson without a lab."""
    if lesson.shipped is None:
        return "open"
    one = progress.lessons.get(lesson.name)
    if one is None or not (one.attempts or one.hints):
        return "new"
    return "passed" if one.passed else "begun"


def next_lesson(progress: Progress) -> Lesson | None:
    """Return the lesson to take next, None when every lab is passed.

    Before the first check that is the very first lesson; afterwards the first lab that has not passed
    and whose prerequisites have.
    """
    known = lessons()
    if known and not any(one.attempts for one in progress.lessons.values()):
        return known[0]
    return next_lab(progress)


def next_lab(progress: Progress) -> Lesson | None:
    """Return the first lesson with a lab that has not passed, those with passed prerequisites first."""
    passed = {one.number for one in lessons() if state_of(one, progress) in ("passed", "open")}
    left = [one for one in lessons() if one.shipped is not None and one.number not in passed]
    ready = [one for one in left if set(one.requires) <= passed]
    return next(iter(ready or left), None)


@dataclass(frozen=True, slots=True)
class Hint:
    """One hint, its grade (from 1) and how many there are."""

    grade: int
    grades: int
    text: str

    @property
    def last(self) -> bool:
        """Whether no further hint follows."""
        return self.grade == self.grades

    def __str__(self) -> str:
        return f"Hint {self.grade} of {self.grades}: {self.text}"

    def then(self, number: str) -> str:
        """Say what comes after this hint."""
        if self.last:
            return f"That was the last hint. Full solution: loopclinic solution {number}"
        return f"Next hint: loopclinic hint {number}"


def next_hint(lesson: Lesson) -> Hint | None:
    """Return the next grade of hint and remember that it was given; the last one is repeated.

    None where the lesson has no hints; ProgressError if it can't be remembered.
    """
    if not lesson.hints:
        return None
    with change() as kept:
        one = kept.of(lesson.name)
        one.hints = min(max(one.hints, 0) + 1, len(lesson.hints))
        grade = one.hints
    return Hint(grade, len(lesson.hints), lesson.hints[grade - 1])
