"""Lab 01 as it ships: for which reasons it fails, and what it promises."""

from loopclinic.lessons import lesson
from loopclinic.lessons.blocking_sleep import check, check_calls
from tests.labs.recorded import LAB

LESSON = lesson("01")


def test_lab_as_shipped_fails_with_the_retry_first(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.reasons[0].conflict == "blocking-retry", str(as_shipped)
    assert as_shipped.conflicts == ("blocking-retry", "missing-deadline"), str(as_shipped)


def test_verdict_names_the_line_that_sleeps(as_shipped):
    reason = as_shipped.reasons[0]
    code = LESSON.shipped.read_text().splitlines()[reason.line - 1]
    assert "time.sleep(" in code
    assert reason.file == str(LAB)
    assert "time.sleep(" in reason.sentence


def test_vitals_show_who_paid(as_shipped):
    vitals = as_shipped.vitals
    assert vitals["healthy_p90_ms"] > 100  # callers that never failed waited for those that did
    assert vitals["lag_p99_ms"] > 100


def test_shipped_lab_is_kept_apart_from_the_learners():
    # Which may be solved: only that both exist is sure here; `.ci/run` compares a fresh clone's.
    assert LESSON.shipped is not None
    assert LESSON.shipped.parent.name == "shipped"


def test_linter_sees_nothing_in_the_shipped_lab():
    # The story of the notebook: no async function of it calls time.sleep itself.
    import ast

    tree = ast.parse(LESSON.shipped.read_text())
    for function in ast.walk(tree):
        if isinstance(function, ast.AsyncFunctionDef):
            assert "time.sleep" not in ast.unparse(function)
    assert "time.sleep" in ast.unparse(tree)


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    assert f"busy at most {check_calls.BUSY.limit:.0%}".replace("%", " %") in text
    assert f"{check.THREADS.limit:g} new threads" in text
    assert f"{check.QUEUE.limit:g} times its own waits" in text
    assert f"{check_calls.CANCEL.limit * 1000:g} ms" in text
    assert f"{check.WAITS_MOST.limit:g} times as long as promised" in text
    assert f"may send {check.REST.limit:g} requests on average" in text
    assert f"gets {1000 * check_calls.PROMPT.limit:g} ms more" in text
    assert check.GROWTH.limit == 0.25
    assert "a quarter of what doubling gives" in text
    assert check.LAG.limit == 0.5
    assert "half that of the file as shipped" in text
    assert check_calls.DEADLINE.limit == 2
    assert "may take twice its deadline" in text
    assert check.WAITS_LEAST.limit == 0.25
    assert "the average wait is at least a quarter of that" in text
