"""The number of a lesson on a command line, and the lesson it stands for."""

import argparse

from loopclinic.checks import course, progress
from loopclinic.lessons import Lesson, lesson

__all__ = ["add_lesson", "lesson_or_next"]


def add_lesson(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the argument NN."""
    if optional:
        parser.add_argument(
            "lesson",
            metavar="NN",
            nargs="?",
            help="number of the lesson, such as 01 (default: the next lab that has not passed)",
        )
    else:
        parser.add_argument("lesson", metavar="NN", help="number of the lesson, such as 01")


def lesson_or_next(number: str | None) -> Lesson | None:
    """Return the lesson with this number; without one, the next lab that has not passed.

    Raises:
        UnknownLessonError: there is none with this number.
        ProgressError: the progress can't be read.
    """
    return course.next_lab(progress.read()) if number is None else lesson(number)
