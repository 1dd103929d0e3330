"""Lab 10 as it ships: for which reasons it fails, and what it promises."""

from loopclinic.lessons import lesson
from loopclinic.lessons.failing_upstreams import check
from tests.labs.recorded import LAB, SUBMISSIONS, load

LESSON = lesson("10")


def test_lab_as_shipped_fails_for_its_breaker_first(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.conflicts == (
        "sync-circuit-breaker",
        "missing-deadline",
        "retry-storm",
        "masked-failure",
        "unbounded-gather",
    ), str(as_shipped)
    states = {one.number: one.state for one in as_shipped.promises}
    assert states.pop(4) == "not-judged", "a service that is never left alone is never tried again"
    assert states.pop(7) == "kept"
    assert set(states.values()) == {"broken"}


def test_verdict_names_the_line_that_gives_the_breaker_a_coroutine(as_shipped):
    reason = as_shipped.reasons[0]
    assert reason.file == str(LAB)
    assert "self._breaker.call(" in LESSON.shipped.read_text().splitlines()[reason.line - 1]
    assert "it has returned before the call begins" in reason.sentence


def test_a_verdict_does_not_depend_on_the_seed():
    for one in SUBMISSIONS.values():
        if one.lesson == LESSON:
            verdicts = [trial["verdict"] for trial in load(one.record)["trials"].values()]
            assert all(each == verdicts[0] for each in verdicts), one.name


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    assert (check.LATE.limit, check.AT_ONCE.limit, check.RETRIES.limit) == (1.05, 0.1, 0.1)
    assert '5 % over the deadline pass, and a tenth of it counts as "at once"' in text
    assert (round(1 - check.EARLY, 2), round(check.AFTER - 1, 2), check.SPARE) == (0.08, 0.08, 3)
    assert "8 % more or less than `rest` pass" in text
    assert "three more retries pass" in text
