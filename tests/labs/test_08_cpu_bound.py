"""Lab 08 as it ships: for which reason it fails, and what it promises."""

from loopclinic.lessons import lesson
from loopclinic.lessons.cpu_bound import check
from tests.labs.recorded import LAB, SUBMISSIONS, load

LESSON = lesson("08")
OWN = [one for one in SUBMISSIONS.values() if one.lesson == LESSON]


def test_lab_as_shipped_only_holds_the_loop(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.conflicts == ("cpu-bound",), str(as_shipped)
    assert [one.number for one in as_shipped.promises if one.state == "broken"] == [3]


def test_verdict_names_the_line_that_computes(as_shipped):
    (reason,) = as_shipped.reasons
    assert reason.file == str(LAB)
    line = LESSON.shipped.read_text().splitlines()[reason.line - 1]
    assert "self._passwords." in line
    assert "9 of 9 computations ran on the event loop's thread" in reason.sentence


def test_each_half_fix_breaks_the_promise_it_names_and_no_other():
    for one in OWN:
        if one.promise is not None:
            for trial in load(one.record)["trials"].values():
                states = trial["verdict"]["promises"]
                broken = [number for number, state in states.items() if state == "broken"]
                assert broken == [one.promise], one.name


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    assert f", and {check.WORKERS} workers" in text
    assert check.LAG.limit == 0.5
    assert "may wait for it half as long as in the file as shipped" in text
    assert f"may be idle for {check.IDLE.limit:.0%}".replace("%", " %") in text
    assert f"overtaken by {check.OVERTAKEN.limit} that came later" in text
    assert f"A cancelled call has {check.CANCEL.limit} s" in text
    assert f"Of 16 that were waiting, {check.COMPUTED.limit} may still be computed" in text
    assert f"12 calls, one after another, may use {check.STARTED.limit} workers" in text
