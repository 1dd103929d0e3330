"""Lab 05 as it ships: for which reason it fails, and what it promises."""

from loopclinic.lessons import lesson
from loopclinic.lessons.sequential_awaits import check
from tests.labs.recorded import LAB, SUBMISSIONS, load

LESSON = lesson("05")


def test_lab_as_shipped_is_only_slow(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.conflicts == ("sequential-awaits",), str(as_shipped)
    states = {one.number: one.state for one in as_shipped.promises}
    assert states == dict.fromkeys(range(1, 8), "kept") | {6: "broken"}


def test_verdict_names_the_await_in_the_loop(as_shipped):
    (reason,) = as_shipped.reasons
    assert reason.file == str(LAB)
    line = LESSON.shipped.read_text().splitlines()[reason.line - 1]
    assert line.strip() == "outcome.replies[message.id] = await handle(message)"
    assert "took 24.0 s. Its shape asks for 4.0 s" in reason.sentence


def test_each_half_fix_breaks_the_promise_it_names_and_no_other():
    for one in SUBMISSIONS.values():
        if one.lesson == LESSON and one.promise is not None:
            for trial in load(one.record)["trials"].values():
                states = trial["verdict"]["promises"]
                broken = [number for number, state in states.items() if state == "broken"]
                assert broken == [one.promise], one.name


def test_a_verdict_does_not_depend_on_the_seed():
    for one in SUBMISSIONS.values():
        if one.lesson == LESSON:
            verdicts = [trial["verdict"] for trial in load(one.record)["trials"].values()]
            told = [
                (v["status"], [r.get("conflict") for r in v["reasons"]], v["promises"])
                for v in verdicts
            ]
            assert all(each == told[0] for each in told), one.name


def test_right_answers_start_unlike_numbers_of_tasks():
    right = [one for one in SUBMISSIONS.values() if one.name.startswith("05-right_")]
    tasks = {load(one.record)["trials"]["1"]["facts"]["vitals"]["tasks"] for one in right}
    assert len(right) >= 5
    assert min(tasks) <= 6
    assert max(tasks) >= 24


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    assert (2 * check.SEEDS, len(check._SHAPES)) == (100, 8)
    assert "plays a hundred batches" in text
    assert "Eight batches of known shape" in text
    assert f"may take {check.LONG.limit} times as long as the sixth promise says" in text
    assert f"A cancelled call has {check.CANCEL.limit} s" in text
