"""Facts of a trial, made up: those of a lab that keeps every promise, and one of them changed."""

import copy
from pathlib import Path

from loopclinic.lessons import Lesson, Trial


def trial(lesson: Lesson, facts: dict, **changes) -> Trial:
    """A trial with these facts, some replaced by `step__name=value` or `step__ending__name=value`."""
    facts = copy.deepcopy(facts)
    for path, value in changes.items():
        *steps, last = path.split("__")
        where = facts
        for step in steps:
            where = where[step]
        where[last] = value
    return Trial(lesson=lesson.name, seed=1, facts=facts, lab=Path("lab.py"))
