"""Lab 11 as it ships: for which reasons it fails, and what it promises."""

from loopclinic.lessons import lesson
from loopclinic.lessons.task_lifetimes import check, check_closing
from tests.labs.recorded import LAB, SUBMISSIONS, load

LESSON = lesson("11")


def test_lab_as_shipped_fails_for_its_vanished_jobs_first(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.conflicts == ("dropped-task", "unseen-task-error", "abrupt-shutdown")
    assert {one.promise for one in as_shipped.reasons} == {1, 2, 4, 6}


def test_verdict_names_the_line_that_makes_the_task(as_shipped):
    reason = as_shipped.reasons[0]
    assert reason.file == str(LAB)
    assert "asyncio.create_task(" in LESSON.shipped.read_text().splitlines()[reason.line - 1]
    assert "200 vanished when garbage was collected" in reason.sentence
    assert "Task was destroyed but it is pending!" in reason.sentence


def test_a_kept_error_is_not_even_logged_and_a_forgotten_one_is():
    def said(name):
        (trial, *_) = load(SUBMISSIONS[f"11-{name}"].record)["trials"].values()
        (reason,) = (one for one in trial["verdict"]["reasons"] if one.get("promise") == 2)
        return reason["sentence"]

    assert "Nothing was logged either." in said("half_kept_in_a_list__unseen-task-error")
    assert "never retrieved" in said("half_p2_left_to_asyncio__unseen-task-error")


def test_a_verdict_does_not_depend_on_the_seed():
    for one in SUBMISSIONS.values():
        if one.lesson == LESSON:
            verdicts = [trial["verdict"] for trial in load(one.record)["trials"].values()]
            told = [
                (v["status"], [(r.get("conflict"), r.get("line")) for r in v["reasons"]])
                for v in verdicts
            ]
            assert all(each == told[0] for each in told), one.name


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    assert (check_closing.SLACK, check_closing.LATE.limit, check.KEEPS.limit) == (0.1, 1.1, 0.5)
    assert "may come a tenth of a second late, or a tenth of the grace" in text
    assert (
        f"counted over {check.TURNS * check.MANY:,} jobs, and may grow by one object for every two"
        in text
    )
