"""Lab 03 as it ships: for which reasons it fails, and what it promises."""

from loopclinic.lessons import lesson
from loopclinic.lessons.database.postgres_verdicts import CONNECTIONS
from loopclinic.lessons.flask_bridge import check
from tests.labs.recorded import LAB

LESSON = lesson("03")


def test_lab_as_shipped_fails_for_its_loops_and_for_what_it_forgets(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.conflicts == ("loop-per-call", "dropped-task"), str(as_shipped)


def test_verdict_names_the_line_that_runs_a_loop(as_shipped):
    reason = as_shipped.reasons[0]
    assert reason.file == str(LAB)
    assert "run_until_complete" in LESSON.shipped.read_text().splitlines()[reason.line - 1]


def test_every_update_that_sigterm_met_was_lost(as_shipped):
    reason = next(one for one in as_shipped.reasons if one.conflict == "dropped-task")
    assert "7 of 7 updates were lost" in reason.sentence


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    assert check.MADE.limit == 1 / 4
    assert "at most one of each per four webhooks" in text
    assert check.LATE.limit == 2
    assert "within twice `timeout`" in text
    assert check.PILED_UP.limit == 0.5
    assert "at most one task or thread per two of these webhooks" in text
    assert CONNECTIONS.limit == 1
    assert "at most `size` connections" in text
