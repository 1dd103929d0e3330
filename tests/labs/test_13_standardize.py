"""Lab 13: how the lab as it ships fails, and what its contract says of the budgets."""

import ast

from loopclinic.lessons import lesson
from loopclinic.lessons.database import postgres_verdicts
from loopclinic.lessons.standardize import check
from loopclinic.lessons.standardize.mutants import MUTANTS
from loopclinic.lessons.standardize.static_check import CONFIDENCE, TEST

LESSON = lesson("13")


def test_lab_as_shipped_fails_for_its_driver_first_and_names_each_file(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.reasons[0].conflict == "blocking-db", str(as_shipped)
    assert {"loop-per-call", "swallowed-cancellation"} <= set(as_shipped.conflicts)
    files = {one.conflict: one.file for one in as_shipped.reasons if one.conflict}
    assert files["blocking-db"].endswith("repository.py")
    assert files["loop-per-call"].endswith("service.py")


def test_verdict_says_what_the_shipped_tests_do_not_see(as_shipped):
    (reason,) = [one for one in as_shipped.reasons if "tests also pass" in one.sentence]
    assert MUTANTS["gateway"].what in reason.sentence
    assert MUTANTS["overpaid"].what not in reason.sentence
    assert reason.measured.startswith("2 of 4")


def test_docstring_names_the_budgets_and_the_broken_services():
    text = " ".join(ast.get_docstring(ast.parse(LESSON.contract.read_text())).split())
    assert f"a connection with a round trip of {postgres_verdicts.LINE * 1000:g} ms" in text
    stall = f"{postgres_verdicts.STALL.limit:.0%} of a round trip".replace("%", " %")
    assert f"the loop may be stopped for {stall}" in text
    assert f"a thread within {postgres_verdicts.THREAD.limit * 1000:g} ms" in text
    assert postgres_verdicts.AT_WORK.limit == 0.5
    assert "enough if half of the connections are at work" in text
    assert (
        f"ten charges get {check.ASK:g} s until all ask, two of one invoice {check.BOTH_ASK:g} s"
        in text
    )
    assert f"a cancelled call gets {check.CANCEL.limit * 1000:g} ms" in text
    assert f"tests that make no progress for {TEST.limit:g} s" in text
    assert f"loopclinic scan billing --min-confidence {CONFIDENCE}`" in text
    assert postgres_verdicts.CONNECTIONS.limit == 1
    assert "There are at most `size` connections" in text
    assert len(MUTANTS) == 4
    assert "four times more on a service that is broken on purpose" in text
