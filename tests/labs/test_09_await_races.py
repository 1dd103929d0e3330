"""Lab 09 as it ships: for which reasons it fails, and what it promises."""

from loopclinic.lessons import lesson
from loopclinic.lessons.await_races import check
from tests.labs.recorded import LAB, SUBMISSIONS, load

LESSON = lesson("09")


def test_lab_as_shipped_fails_for_its_race_first(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.conflicts == ("non-atomic-counter", "lazy-init-race"), str(as_shipped)
    assert {one.promise for one in as_shipped.reasons} == {1, 4, 5}


def test_verdict_names_the_line_after_which_another_call_ran(as_shipped):
    reason = as_shipped.reasons[0]
    assert reason.file == str(LAB)
    assert "self._store.get(key)" in LESSON.shipped.read_text().splitlines()[reason.line - 1]
    assert "1. caller: get('a'); 2. caller: get('a'); 1. caller: incr('a') = 1" in reason.sentence


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
    assert (check.SEEDS, check.WAITS.limit, check.KEEPS.limit) == (100, 2, 0.5)
    assert "plays a hundred schedules" in text
    assert f"{check.MANY_KEYS} keys at once may take twice as long as one" in text
    assert f"counted over {check.TURNS * check.KEPT_KEYS:,} keys" in text
    assert 1 < check.EDGE < 2
    assert "may end one second early or late" in text
