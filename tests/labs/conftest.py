"""Fixtures: verdicts on submissions, run live or judged from their records."""

import pytest

from loopclinic.checks import check_lesson
from tests.alone import known
from tests.labs.recorded import SUBMISSIONS, Submission, concluded, load, stale

collect_ignore = ["fixes"]  # some hold tests, which are a lab's


@pytest.fixture
def live(tmp_path, record_property):
    """Check a submission now; the test has no verdict where the machine was too busy for one."""

    def run(submission: Submission, machine: str, seed: int):
        verdict = check_lesson(submission.lesson, file=submission.laid_out(tmp_path), seed=seed)
        told = {"lesson": submission.lesson.number, "submission": submission.name}
        vitals = {
            name: value
            for name, value in verdict.vitals.items()
            if submission.stem in {"shipped", "solution"} and isinstance(value, int | float)
        }
        told |= {"machine": machine, "seconds": verdict.seconds, "vitals": vitals}
        record_property("verdict", told)
        return known(verdict)

    return run


@pytest.fixture(scope="module")
def as_shipped(request):
    """The verdict on the recorded trial of the lab that ships with the module's LESSON."""
    one = SUBMISSIONS[f"{request.module.LESSON.number}-shipped"]
    record = load(one.record)
    if trouble := stale(one, record):
        pytest.skip(f"{trouble}, which test_records.py reports. {one.command}")
    return concluded(one, record["trials"]["1"], 1, one.text())
