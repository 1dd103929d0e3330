"""Lab 04 as it ships: for which reasons it fails, and what it promises."""

from loopclinic.lessons import lesson
from loopclinic.lessons.unbounded_gather import check
from tests.labs.recorded import LAB

LESSON = lesson("04")


def test_lab_as_shipped_fails_for_everything_it_starts_at_once(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.reasons[0].conflict == "unbounded-gather", str(as_shipped)
    assert as_shipped.conflicts == ("unbounded-gather", "dropped-gather-results"), str(as_shipped)


def test_verdict_names_the_line_that_gathers(as_shipped):
    reason = as_shipped.reasons[0]
    assert reason.file == str(LAB)
    assert "asyncio.gather(" in LESSON.shipped.read_text().splitlines()[reason.line - 1]


def test_vitals_show_how_many_there_were(as_shipped):
    vitals = as_shipped.vitals
    assert vitals["tasks_at_most"] > 10 * vitals["limit"]
    assert vitals["posts_held_at_most"] > 10 * vitals["limit"]


def test_the_semaphore_of_the_shipped_lab_is_made_where_it_limits_nothing():
    import ast

    (one,) = (
        node
        for node in ast.walk(ast.parse(LESSON.shipped.read_text()))
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "publish_one"
    )
    assert "asyncio.Semaphore(limit)" in ast.unparse(one)


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    assert f"at least {check.FULL.limit:.0%}".replace("%", " %") in text
    assert f"at most {check.HELD.limit:g} times `limit`" in text
    assert f"{check.CANCEL.limit * 1000:g} ms" in text
    assert f"connections all break, {check.PROMPT.limit:g} s;" in text
    assert f"Retry-After, {check.Refusing.patience:g} s more" in text
    assert check.IN_FLIGHT.limit == 1
    assert "how many at once (at most `limit`)" in text
    assert 0.9 <= check.RETRY_AFTER.limit < 1
    assert "never before Retry-After" in text
