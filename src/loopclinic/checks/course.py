"""Where the learner stands in the course: what is passed, what comes next."""

from loopclinic.checks.progress import Progress
from loopclinic.lessons import Lesson, lessons

__all__ = ["next_lab", "next_lesson", "state_of"]


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
