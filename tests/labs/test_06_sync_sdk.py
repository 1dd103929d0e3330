"""Lab 06 as it ships: for which reason it fails, and what it promises."""

from loopclinic.lessons import lesson
from loopclinic.lessons.sync_sdk import check
from tests.labs.recorded import LAB, SUBMISSIONS, load

LESSON = lesson("06")


def trials_of(*, right=False):
    for one in SUBMISSIONS.values():
        if one.lesson == LESSON and (not right or one.stem.startswith("right_")):
            for trial in load(one.record)["trials"].values():
                yield one, trial


def test_lab_as_shipped_is_right_and_blocks(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.conflicts == ("blocking-sdk",), str(as_shipped)
    states = {one.number: one.state for one in as_shipped.promises}
    assert states[2] == "broken"
    assert states[1] == states[4] == states[6] == "kept"


def test_verdict_names_the_line_that_blocks_most(as_shipped):
    (reason,) = as_shipped.reasons
    assert reason.file == str(LAB)
    line = LESSON.shipped.read_text().splitlines()[reason.line - 1]
    assert line.strip().startswith("client.put_object(")


def test_each_half_fix_breaks_the_promise_it_names_and_no_other():
    for one, trial in trials_of():
        if one.promise is not None:
            states = trial["verdict"]["promises"]
            broken = [number for number, state in states.items() if state == "broken"]
            assert broken == [one.promise], one.name


def test_right_answers_use_so_many_threads_and_leave_the_shared_ones_free():
    names = {one.name for one, _ in trials_of(right=True)}
    assert len(names) >= 5
    for one, trial in trials_of(right=True):
        vitals = trial["facts"]["vitals"]
        assert vitals["sdk_threads"] == check.First.size, one.name
        assert vitals["to_thread_waited"] < check.First.seconds / 2, one.name


def test_a_thread_that_all_share_made_others_wait():
    for one, trial in trials_of():
        if one.stem.startswith("half_to_thread_for_all"):
            assert trial["facts"]["vitals"]["to_thread_waited"] > check.First.seconds / 2


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    seconds = [scene.seconds for scene in check.CHECK.scenes]
    assert (min(seconds), max(seconds)) == (0.1, 0.6)
    assert "a round trip takes 100 to 600 ms" in text
    assert f"blocked for {check.BLOCKED.limit:.0%} of the time".replace("%", " %") in text
    assert f"A cancelled call has {check.CANCEL.limit * 1000:.0f} ms to end" in text
    assert f"threads have {check.ENDS.limit * 1000:.0f} ms to end" in text
