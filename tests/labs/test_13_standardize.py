"""Lab 13: how the lab as it ships fails, and what its contract says of the budgets."""

import ast

import pytest

from loopclinic.lessons import lesson
from loopclinic.lessons.standardize import check
from loopclinic.lessons.standardize.broken import BROKEN
from loopclinic.lessons.standardize.static_check import CONFIDENCE, TEST

LESSON = lesson("13")


@pytest.mark.slow
def test_lab_as_shipped_fails_for_its_driver_first_and_names_each_file(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.reasons[0].conflict == "blocking-db", str(as_shipped)
    assert {"loop-per-call", "swallowed-cancellation"} <= set(as_shipped.conflicts)
    files = {one.conflict: one.file for one in as_shipped.reasons if one.conflict}
    assert files["blocking-db"].endswith("repository.py")
    assert files["loop-per-call"].endswith("service.py")


@pytest.mark.slow
def test_verdict_says_what_the_shipped_tests_do_not_see(as_shipped):
    (reason,) = [one for one in as_shipped.reasons if "tests also pass" in one.sentence]
    assert BROKEN["gateway"][1] in reason.sentence
    assert BROKEN["overpaid"][1] not in reason.sentence
    assert reason.measured.startswith("2 of 4")


def test_docstring_names_the_budgets_and_the_broken_services():
    text = " ".join(ast.get_docstring(ast.parse(LESSON.contract.read_text())).split())
    assert f"for {check.STALL.limit:.0%} of that".replace("%", " %") in text
    assert f"a thread within {check.THREAD.limit * 1000:g} ms" in text
    assert f"a cancelled call gets {check.CANCEL.limit * 1000:g} ms" in text
    assert f"tests at which nothing moves for {TEST.limit:g} s" in text
    assert f"loopclinic scan billing --min-confidence {CONFIDENCE}`" in text
    assert check.CONNECTIONS.limit == 1
    assert "There are at most `size` connections" in text
    assert len(BROKEN) == 4
    assert "four times more on a service that is broken on purpose" in text
