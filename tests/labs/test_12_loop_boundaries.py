"""Lab 12 as it ships: for which reasons it fails, and what it promises."""

from loopclinic.lessons import lesson
from loopclinic.lessons.loop_boundaries import bridge_scene, check
from loopclinic.lessons.loop_boundaries.celery_worker import THREADS
from tests.labs.recorded import LAB, SUBMISSIONS, load

LESSON = lesson("12")


def trials_of(*, right=False):
    for one in SUBMISSIONS.values():
        if one.lesson == LESSON and (not right or one.stem.startswith("right_")):
            for trial in load(one.record)["trials"].values():
                yield one, trial


def test_lab_as_shipped_makes_a_loop_for_each_call_and_leaves_calls(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.conflicts == ("loop-per-call", "abrupt-shutdown"), str(as_shipped)
    assert [one.number for one in as_shipped.promises if one.state == "broken"] == [2, 7]


def test_verdict_names_the_line_that_makes_loops(as_shipped):
    reason = as_shipped.reasons[0]
    assert reason.file == str(LAB)
    line = LESSON.shipped.read_text().splitlines()[reason.line - 1]
    assert "asyncio.run(" in line
    assert "60 calls made 60 event loops" in reason.sentence


def test_each_half_fix_breaks_the_promise_it_names_and_no_other():
    for one, trial in trials_of():
        if one.promise is not None:
            states = trial["verdict"]["promises"]
            broken = [number for number, state in states.items() if state == "broken"]
            assert broken == [one.promise], one.name


def test_right_answers_open_no_more_connections_than_their_pool_may():
    for one, trial in trials_of(right=True):
        vitals = trial["facts"]["vitals"]
        assert vitals["connections_opened"] <= bridge_scene.SIZE, one.name
        assert vitals["calls"] == check._TOGETHER + check._TASKS * check._CALLS, one.name


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    assert f"worker with {THREADS} threads" in text
    assert f"A timeout is {check.TIMEOUT * 1000:.0f} ms" in text
    assert f"may take {check.LATE.limit:.0f} s for it" in text
    assert f"PostgreSQL has {bridge_scene.GONE * 1000:.0f} ms to notice" in text
    assert f"threads have {bridge_scene.GONE * 1000:.0f} ms to end" in text
    assert f"does not close has {check.ENDS.limit:.0f} s to end" in text
