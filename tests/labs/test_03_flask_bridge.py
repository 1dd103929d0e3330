"""Lab 03 as it ships: for which reasons it fails, and what it promises."""

import pytest

from loopclinic.lessons import lesson
from loopclinic.lessons.flask_bridge import check

LESSON = lesson("03")


@pytest.mark.slow
def test_lab_as_shipped_fails_for_its_loops_and_for_what_it_forgets(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.conflicts == ("loop-per-call", "dropped-task"), str(as_shipped)


@pytest.mark.slow
def test_verdict_names_the_line_that_runs_a_loop(as_shipped):
    reason = as_shipped.reasons[0]
    assert reason.file == str(LESSON.shipped)
    assert "run_until_complete" in LESSON.shipped.read_text().splitlines()[reason.line - 1]


@pytest.mark.slow
def test_every_update_that_sigterm_met_was_lost(as_shipped):
    reason = next(one for one in as_shipped.reasons if one.conflict == "dropped-task")
    assert "7 of 7 updates were lost" in reason.sentence


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    assert f"{check.MADE.limit:g} a webhook at most" in text
    assert f"waits {check.LATE.limit:g} times `timeout`" in text
    assert check.PILED_UP.limit == 0.5
    assert "half of these webhooks at most" in text
    assert check.CONNECTIONS.limit == 1
    assert "at most `size` connections" in text
