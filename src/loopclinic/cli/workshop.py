"""What a workshop needs of a learner's computer: every server, JupyterLab, every lesson's check.

One after the other, as a learner would use them, so that the seconds are those of the day.
"""

import time
from collections.abc import Callable, Iterator

from loopclinic.cli.examinations import DEEP, EXAMINATIONS, Finding

__all__ = ["PATIENCE", "Timed", "rehearse"]

PATIENCE = 120.0
"""Seconds within which a computer that is fit for a workshop is through."""
SLOW = "end other programs, and plug in the charger; labs will be slow here but right."

Timed = tuple[Finding, float]
"""A finding, and the seconds that it took."""


def rehearse() -> Iterator[Timed]:
    """Yield each finding when it is there; solutions are judged, the learner's labs left alone."""
    examinations = {**EXAMINATIONS, **DEEP, **_lessons()}
    for name, examination in examinations.items():
        began = time.perf_counter()
        try:
            found = examination()
        except Exception as error:
            found = Finding(
                name,
                "to-do",
                f"the examination itself failed: {type(error).__name__}: {error}",
                "make setup, then try again; if it stays, report it with this line.",
            )
        yield found, time.perf_counter() - began


def _lessons() -> dict[str, Callable[[], Finding]]:
    try:
        from loopclinic.lessons import lessons  # noqa: PLC0415 - the light install has none of it
    except ModuleNotFoundError:
        return {}
    labs = (one for one in lessons() if one.shipped is not None)
    return {
        f"lesson {one.number}": lambda number=one.number: examine_lesson(number)  # type: ignore[misc]
        for one in labs
    }


def examine_lesson(number: str) -> Finding:
    """Does the check of this lesson pass its solution here?"""
    from loopclinic.checks import labs  # noqa: PLC0415 - needs the kit's packages
    from loopclinic.checks.checking import check_lesson  # noqa: PLC0415
    from loopclinic.lessons import lesson  # noqa: PLC0415

    one = lesson(number)
    name = f"lesson {one.number}"
    solution = labs.solution_path(one)
    verdict = check_lesson(one, file=solution)
    if verdict.passed:
        return Finding(name, "ok", f"{one.title}: its solution passes")
    why = verdict.reasons[0].sentence.split("\n")[0] if verdict.reasons else verdict.headline
    if verdict.status == "could-not-run":
        repair = verdict.reasons[0].next_step if verdict.reasons else None
        return Finding(name, "to-do", f"its check can't run: {why}", repair or "make setup.")
    # A right answer that fails was measured while something else held the machine, or not here.
    if check_lesson(one, file=solution).passed:
        return Finding(name, "note", f"{one.title}: passes at the second try. {why}", SLOW)
    return Finding(
        name,
        "to-do",
        f"its solution fails, twice: {why}",
        f"end other programs and try loopclinic check {number} --solution again.",
    )
