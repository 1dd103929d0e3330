"""Hints in three grades: where to look, what to change, how."""

from dataclasses import dataclass

from loopclinic.checks import progress
from loopclinic.lessons import Lesson

__all__ = ["Hint", "next_hint"]


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

    def then(self, number: str) -> str:
        """Say what comes after this hint."""
        if self.last:
            return f"That was the last hint. The whole fix: loopclinic solution {number}."
        return f"A further one: loopclinic hint {number}."


def next_hint(lesson: Lesson) -> Hint | None:
    """Return the next grade of hint and remember that it was given; the last one is repeated.

    None where the lesson has no hints.

    Raises:
        ProgressError: it can't be remembered.
    """
    if not lesson.hints:
        return None
    with progress.change() as kept:
        one = kept.of(lesson.name)
        one.hints = min(max(one.hints, 0) + 1, len(lesson.hints))
        grade = one.hints
    return Hint(grade, len(lesson.hints), lesson.hints[grade - 1])
