"""Lab 14: how the lab as it ships fails, and that the table of a verdict is true of half-converted packages."""

import ast
import re

import pytest

from loopclinic.lessons import lesson
from loopclinic.lessons.audit_capstone import check_cancelled, check_crowd
from loopclinic.lessons.audit_capstone.audit_scene import FUNCTIONS, AuditScene
from loopclinic.lessons.database import postgres_verdicts
from tests.labs.recorded import SUBMISSIONS, judged, load

LESSON = lesson("14")
HALF_WAY = {
    "only_take_audit": {3, 5, 6, 7, 8, 9, 10},
    "three_left": {8, 9, 10},
    "five_left": {6, 7, 8, 9, 10},
    "from_the_end": {1, 3, 5},
    "all_that_write": {3, 4, 5, 7},
    "all_that_read": {1, 6, 9, 10},
    "all_but_the_queue": {1, 2},
    "storing_is_left": {6, 7, 9},
    "failure_and_scores_left": {8, 10},
    "none_but_two": {1, 3, 5, 6, 7, 8, 9, 10},
}
"""Half-way states, and the functions that still stop the loop in each."""


def broken(submission):
    """Yield the promises that the judges of today call broken, for each recorded trial."""
    for seed, trial in load(submission.record)["trials"].items():
        verdict = judged(submission, trial, int(seed), submission.text())
        yield {int(number) for number, state in verdict["promises"].items() if state == "broken"}


def recorded(name):
    """Return a submission of this lesson; without a record there is nothing to judge."""
    submission = SUBMISSIONS[f"14-{name}"]
    if not submission.record.exists():
        pytest.skip(f"not recorded: {submission.command}")
    return submission


def test_lab_as_shipped_fails_in_eight_functions_and_hangs(as_shipped):
    assert as_shipped.status == "not-yet"
    states = {one.number: one.state for one in as_shipped.promises}
    assert {number for number in range(1, 11) if states[number] == "kept"} == {2, 4}
    assert states[11] == "broken"
    assert as_shipped.reasons[0].conflict == "blocking-db"
    hang = next(
        one
        for one in as_shipped.reasons
        if "It would never" in one.sentence or "never have" in one.sentence
    )
    assert hang.promise == 11
    assert hang.file.endswith(".py")
    # The hang explains what stays open and what still runs.
    conflicts = {one.conflict for one in as_shipped.reasons}
    assert not conflicts & {"unclosed-resource", "dropped-task"}
    assert [one.conflict for one in as_shipped.reasons if one.promise == 8] == ["cpu-bound"]


@pytest.mark.parametrize("name", HALF_WAY)
def test_a_half_way_state_has_a_true_table(name):
    for found in broken(recorded(f"half_way_{name}__blocking-db")):
        assert {number for number in found if number <= len(FUNCTIONS)} == HALF_WAY[name]


@pytest.mark.parametrize(
    "name",
    sorted(
        one.stem
        for one in SUBMISSIONS.values()
        if re.match(r"half_p\d", one.stem) and one.lesson.number == "14"
    ),
)
def test_a_breaker_breaks_the_function_it_names_and_no_other(name):
    number = int(re.match(r"half_p(\d+)_", name)[1])
    for found in broken(recorded(name)):
        functions = {one for one in found if one <= len(FUNCTIONS)}
        assert functions == ({number} if number <= len(FUNCTIONS) else set())
        assert number in found


def test_the_teams_plan_frees_the_loop_and_keeps_no_promise_of_the_whole_job():
    """Thread twins for all ten functions."""
    for found in broken(recorded("half_team_thread_twins__missing-timeout")):
        assert found >= {12, 13, 14, 15}
        # A second worker takes the same audit, and one that failed is counted: no function stops the loop.
        assert found & {*range(1, 11)} == {1, 10}


def test_docstring_names_the_budgets():
    text = " ".join(ast.get_docstring(ast.parse(LESSON.contract.read_text())).split())
    assert f"a round trip of {postgres_verdicts.LINE * 1000:g} ms" in text
    assert (
        f"may stop the loop for {postgres_verdicts.STALL.limit:.0%} of one".replace("%", " %")
        in text
    )
    assert f"at least {check_crowd.SHARE.limit:.0%} of what".replace("%", " %") in text
    assert f"`run` has {check_cancelled.CANCEL.limit * 1000:g} ms to end" in text
    assert check_crowd.EARLY.limit == 0.5
    assert "asked within half of `timeout`" in text
    assert AuditScene.size == 4
    for number, name in enumerate(FUNCTIONS, 1):
        assert LESSON.promises[number].startswith(f"`{name}` ")
