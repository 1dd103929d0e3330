"""The ordered catalogue of lessons: found by looking, so that a new lesson is only a new package."""

import importlib
import pkgutil
from functools import cache

from loopclinic.lessons.lesson import Lesson

__all__ = ["UnknownLessonError", "lesson", "lessons", "treatments"]

_SHARED = {"core"}
"""Packages beside the lessons that are none."""


class UnknownLessonError(LookupError):
    """No lesson has that number or name; the message lists those there are."""


@cache
def lessons() -> tuple[Lesson, ...]:
    """Return all lessons, ordered by number."""
    package = importlib.import_module("loopclinic.lessons")
    found = [
        importlib.import_module(f"{package.__name__}.{entry.name}").LESSON
        for entry in pkgutil.iter_modules(package.__path__)
        if entry.ispkg and entry.name not in _SHARED
    ]
    return tuple(sorted(found, key=lambda one: one.number))


def lesson(key: str | int) -> Lesson:
    """Return the lesson with this number ("01", "1", 1), stem or name.

    Raises:
        UnknownLessonError: there is none.
    """
    wanted = f"{key:02d}" if isinstance(key, int) else key.strip().removesuffix(".py")
    if wanted.isdigit():
        wanted = wanted.zfill(2)
    for one in lessons():
        if wanted in (one.number, one.stem, one.name):
            return one
    known = ", ".join(one.name for one in lessons())
    raise UnknownLessonError(f"There is no lesson {key!r}. There are: {known}.")


def treatments() -> dict[str, tuple[str, str]]:
    """Return conflict name -> (lesson name, title): the lesson that names it soonest, of those the first."""
    named = sorted(
        (place, order, conflict, one)
        for order, one in enumerate(lessons())
        for place, conflict in enumerate(one.conflicts)
    )
    found: dict[str, tuple[str, str]] = {}
    for _, _, conflict, one in named:
        found.setdefault(conflict, (one.name, one.title))
    return found
