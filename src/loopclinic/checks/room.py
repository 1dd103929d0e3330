"""A room of learners: their hand-ins side by side, and what these say about the lessons."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from loopclinic.checks import hand_in
from loopclinic.checks.hand_in import HandIn, UnreadableHandInError
from loopclinic.checks.progress import LessonProgress
from loopclinic.conflicts import CONFLICTS
from loopclinic.lessons import Lesson, lessons

__all__ = ["ConflictCount", "Learner", "LessonCount", "Room", "gather"]


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
class Room:
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


def gather(folder: Path, *, but: Path | None = None) -> Room:
    """Read every file in `folder` but hidden ones and `but`; a learner's newest file counts.

    Raises:
        OSError: the folder can't be read.
    """
    taken: list[HandIn] = []
    remarks: list[str] = []
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or (but is not None and file.resolve() == but.resolve()):
            continue
        try:
            taken.append(hand_in.read(file))
        except UnreadableHandInError as error:
            remarks.append(f"{file.name} {error}")
    kept = _one_each(taken, remarks)
    known = {one.name for one in lessons()}
    for one in kept:
        foreign = sorted({*one.lessons} - known)
        if foreign:
            names = ", ".join(foreign[:3]) + (" and more" if len(foreign) > 3 else "")  # noqa: PLR2004
            remarks.append(
                f"{one.file} has results of {names}, which this kit doesn't know: left out."
            )
    return Room(tuple(_labeled(kept, remarks)), tuple(remarks))


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


def _labeled(kept: Sequence[HandIn], remarks: list[str]) -> list[Learner]:
    named: Counter[str] = Counter()
    learners, unnamed = [], 0
    for one in kept:
        if not one.name:
            unnamed += 1
            learners.append(Learner(f"unnamed {unnamed}", one))
            continue
        named[one.name] += 1
        many = named[one.name]
        if many > 1:
            remarks.append(
                f"{one.file} is by another {one.name}, from another computer: both count."
            )
        learners.append(Learner(one.name if many == 1 else f"{one.name} ({many})", one))
    return learners
