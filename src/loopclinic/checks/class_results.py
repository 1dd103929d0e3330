"""Reads the result files that learners hand in, and summarizes them for a class.

A hand-in holds counts, moments, statuses and names of conflicts: no code, no path, no address, and no name
unless the learner typed one. Nothing is sent anywhere.
"""

import codecs
import itertools
import json
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from loopclinic.checks import progress
from loopclinic.checks.progress import LessonProgress
from loopclinic.conflicts import CONFLICTS
from loopclinic.lessons import Lesson, lessons
from loopclinic.verdict import WORDS

_KIND = "loopclinic progress"
_SCHEMA = 1
_LARGEST = 1_000_000
_LONGEST_NAME = 60
_MOST = 1_000_000
_HANDED_IN = (
    *("attempts", "hints", "passed_at", "last_status", "last_conflicts", "last_checked"),
    *("solution_seen", "met"),
)
"""Fields of a `LessonProgress`."""
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class UnreadableHandInError(ValueError):
    """A file is no hand-in, or a broken one; the message says which, and what to ask for."""


@dataclass(frozen=True, slots=True)
class HandIn:
    """One learner's results: `written` is ISO text in UTC, `token` the same in all their files."""

    file: str
    name: str = ""
    token: str = ""
    written: str = ""
    lessons: Mapping[str, LessonProgress] = field(default_factory=dict)


def hand_in(name: str = "") -> dict[str, Any]:
    """Return what this learner hands in, as JSON values (schema 1); ProgressError if it can't be read or kept."""
    kept = progress.read()
    if not kept.token:
        with progress.change() as kept:
            kept.token = kept.token or secrets.token_hex(4)
    made: dict[str, Any] = {"kind": _KIND, "schema": _SCHEMA, "written": progress.timestamp()}
    if _tidy(name):
        made["name"] = _tidy(name)
    made["token"] = kept.token
    made["lessons"] = {
        lesson: {name: getattr(one, name) for name in _HANDED_IN}
        for lesson, one in sorted(kept.lessons.items())
    }
    return made


def read_hand_in(file: Path) -> HandIn:
    """Return what a hand-in holds, or a copy of a learner's progress.json; UnreadableHandInError if it is none."""
    text = _text(file)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        begun = text.lstrip().startswith("{")
        if begun and not (text.rstrip().endswith("}") and text[error.pos :].strip()):
            raise UnreadableHandInError("ends in the middle: ask for it again.") from error
        raise UnreadableHandInError("is not JSON, so no hand-in.") from error
    except (RecursionError, ValueError) as error:
        raise UnreadableHandInError("is no hand-in.") from error
    return results_of(data, file.name)


def results_of(data: Any, file: str = "") -> HandIn:
    """Return what a hand-in's JSON values, from `file`, hold; UnreadableHandInError if they make no sense."""
    whole = isinstance(data, dict) and isinstance(data.get("lessons"), dict)
    schema = data.get("schema") if whole else None
    if isinstance(schema, int) and schema > _SCHEMA:
        raise UnreadableHandInError("is of a newer loopclinic: update this one.")
    if schema != _SCHEMA:
        raise UnreadableHandInError("is JSON of something else, no hand-in.")
    try:
        lessons = {str(name): _lesson(one) for name, one in data["lessons"].items()}
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        said = "was changed by hand and no longer makes sense: ask for it again."
        raise UnreadableHandInError(said) from error
    return HandIn(
        file=file,
        name=_tidy(data.get("name")),
        token=_tidy(data.get("token")),
        written=_tidy(data.get("written"))
        or max((one.last_checked or "" for one in lessons.values()), default=""),
        lessons=lessons,
    )


def _text(file: Path) -> str:
    if not file.is_file():  # a pipe would keep us waiting
        kind = "a folder: move its files up" if file.is_dir() else "not an ordinary file"
        raise UnreadableHandInError(f"is {kind}.")
    try:
        if file.stat().st_size > _LARGEST:
            raise UnreadableHandInError("is too large for a hand-in.")
        raw = file.read_bytes()
    except OSError as error:
        raise UnreadableHandInError(f"can't be read ({error.strerror}).") from error
    if not raw.strip():
        raise UnreadableHandInError("is empty: ask for it again.")
    # PowerShell's `>` writes UTF-16.
    encoding = next((name for mark, name in _BOMS if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableHandInError("is not text, so no hand-in.") from error


def _lesson(data: Mapping[str, Any]) -> LessonProgress:
    return LessonProgress(
        attempts=_count(data["attempts"]),
        hints=_count(data.get("hints", 0)),
        passed_at=_moment(data.get("passed_at")),
        last_status=status if (status := data.get("last_status")) in WORDS else None,
        last_conflicts=[name for name in data.get("last_conflicts", ()) if name in CONFLICTS],
        last_checked=_moment(data.get("last_checked")),
        solution_seen=_moment(data.get("solution_seen")),
        met={name: _count(many) for name, many in data.get("met", {}).items() if name in CONFLICTS},
    )


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ValueError(value)
    return value


def _moment(value: Any) -> str | None:
    return None if value is None else datetime.fromisoformat(value).isoformat()


def _tidy(value: Any) -> str:
    """Return one printable line of `value`: what people type ends on a screen before the room."""
    if not isinstance(value, str):
        return ""
    printable = "".join(one if one.isprintable() else " " for one in value)
    return " ".join(printable.split())[:_LONGEST_NAME]


@dataclass(frozen=True, slots=True)
class Learner:
    """One learner, under the name they typed, or a number."""

    label: str
    results: HandIn

    def at(self, lesson: Lesson) -> LessonProgress:
        """Return how far this learner is with `lesson`."""
        return self.results.lessons.get(lesson.name) or LessonProgress()


@dataclass(frozen=True, slots=True)
class LessonCount:
    """One lesson: how many passed, are at it, have not begun; checks to a pass (median), hints, peeks."""

    lesson: Lesson
    passed: int
    at_it: int
    new: int
    checks: float | None
    hints: int
    solutions_seen: int


@dataclass(frozen=True, slots=True)
class ConflictCount:
    """One conflict in one lesson: how many learners have met it, and how many end with it for now."""

    lesson: Lesson
    conflict: str
    met: int
    now: int


@dataclass(frozen=True, slots=True)
class ClassResults:
    """All learners, and `remarks`: a sentence about each file that was not taken as it is."""

    learners: tuple[Learner, ...]
    remarks: tuple[str, ...] = ()

    @property
    def lessons(self) -> list[LessonCount]:
        """Each lesson with a lab, in order."""
        return [self._count(one) for one in lessons() if one.shipped is not None]

    @property
    def held_up(self) -> LessonCount | None:
        """The lesson at which most are now; of equals the one with the most checks so far."""
        busy = [one for one in self.lessons if one.at_it]
        return max(busy, key=lambda one: (one.at_it, self._checks_at(one.lesson)), default=None)

    @property
    def conflicts(self) -> list[ConflictCount]:
        """What checks have found, the most widespread first; what people end with now breaks ties."""
        found = []
        for one in (count.lesson for count in self.lessons):
            met: Counter[str] = Counter()
            now: Counter[str] = Counter()
            for learner in self.learners:
                mine = learner.at(one)
                met.update({*mine.met, *mine.last_conflicts})
                now.update(() if mine.passed else {*mine.last_conflicts})
            found += [ConflictCount(one, name, many, now[name]) for name, many in met.items()]
        return sorted(
            found,
            key=lambda one: (-one.met, -one.now, one.lesson.number, CONFLICTS[one.conflict].rank),
        )

    def _count(self, lesson: Lesson) -> LessonCount:
        all_of = [learner.at(lesson) for learner in self.learners]
        passed = [one for one in all_of if one.passed]
        begun = [one for one in all_of if not one.passed and (one.attempts or one.hints)]
        return LessonCount(
            lesson=lesson,
            passed=len(passed),
            at_it=len(begun),
            new=len(all_of) - len(passed) - len(begun),
            checks=median(one.attempts for one in passed) if passed else None,
            hints=sum(one.hints > 0 for one in all_of),
            solutions_seen=sum(one.solution_seen is not None for one in all_of),
        )

    def _checks_at(self, lesson: Lesson) -> int:
        return sum(one.at(lesson).attempts for one in self.learners if not one.at(lesson).passed)


def gather(folder: Path, *, but: Path | None = None) -> ClassResults:
    """Read every file in `folder` but hidden ones and `but`, or raise OSError; a learner's newest file counts."""
    taken: list[HandIn] = []
    remarks: list[str] = []
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or (but is not None and file.resolve() == but.resolve()):
            continue
        try:
            taken.append(read_hand_in(file))
        except UnreadableHandInError as error:
            remarks.append(f"{file.name} {error}")
    kept = _one_each(taken, remarks)
    known = {one.name for one in lessons()}
    for one in kept:
        if foreign := sorted({*one.lessons} - known):
            names = ", ".join(foreign[:3]) + " and more" * (len(foreign) > 3)
            what = f"has results of {names}, which this kit doesn't know: left out."
            remarks.append(f"{one.file} {what}")
    return ClassResults(tuple(labeled(kept, remarks)), tuple(remarks))


def _one_each(taken: Sequence[HandIn], remarks: list[str]) -> list[HandIn]:
    newest: dict[object, HandIn] = {}
    for one in taken:
        # A file without a token is known by what it holds: a second copy of it adds nobody.
        key = one.token or repr((one.name, sorted(one.lessons.items())))
        other = newest.setdefault(key, one)
        if other is one:
            continue
        keep, drop = (one, other) if one.written > other.written else (other, one)
        newest[key] = keep
        age = "is a copy of" if keep.lessons == drop.lessons else "is older than"
        remarks.append(f"{drop.file} {age} {keep.file}, by the same learner: left out.")
    return sorted(newest.values(), key=lambda one: one.file)


def labeled(kept: Iterable[HandIn], remarks: list[str]) -> list[Learner]:
    """Return each learner under their name, or a number; a remark about each name that two typed."""
    learners: dict[str, Learner] = {}
    for one in kept:
        numbers = itertools.count(2 if one.name else 1)
        numbered = (f"{one.name} ({it})" if one.name else f"unnamed {it}" for it in numbers)
        labels = itertools.chain([one.name] if one.name else [], numbered)
        # Somebody may have typed what would be another one's label.
        label = next(it for it in labels if it not in learners)
        if one.name and label != one.name:
            who = f"another {one.name}, from another computer"
            remarks.append(f"{one.file} is by {who}: both count.")
        learners[label] = Learner(label, one)
    return [*learners.values()]
