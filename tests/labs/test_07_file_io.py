"""Lab 07 as it ships: for which reasons it fails, and what it promises."""

from loopclinic.lessons import lesson
from loopclinic.lessons.file_io import check
from tests.labs.recorded import LAB, SUBMISSIONS, load

LESSON = lesson("07")
OF_LESSON = [one for one in SUBMISSIONS.values() if one.lesson == LESSON]


def test_lab_as_shipped_blocks_and_tears(as_shipped):
    assert as_shipped.status == "not-yet"
    assert as_shipped.conflict == "blocking-file-io", str(as_shipped)
    assert set(as_shipped.conflicts) == {"blocking-file-io", "torn-file"}
    states = {one.number: one.state for one in as_shipped.promises}
    assert states == dict.fromkeys((1, 3, 4), "kept") | dict.fromkeys((2, 5, 6, 7), "broken")


def test_verdict_names_the_line_that_opens(as_shipped):
    first = as_shipped.reasons[0]
    assert first.file == str(LAB)
    line = LESSON.shipped.read_text().splitlines()[first.line - 1]
    assert line.strip() == 'with path.open("wb") as file:'
    assert "the first `open` in" in first.sentence


def trials(one):
    return load(one.record)["trials"].values()


def test_each_half_fix_breaks_the_promise_it_names_and_no_other():
    for one in OF_LESSON:
        if one.promise is not None:
            for trial in trials(one):
                states = trial["verdict"]["promises"]
                broken = [number for number, state in states.items() if state == "broken"]
                assert broken == [one.promise], one.name


def test_right_answers_hold_unlike_amounts_and_make_unlike_hops():
    right = [one for one in OF_LESSON if one.name.startswith("07-right_")]
    vitals = [trial["facts"]["vitals"] for one in right for trial in trials(one)]
    assert len(right) >= 5
    assert 2 * min(one["held_kb"] for one in vitals) < max(one["held_kb"] for one in vitals)
    assert min(one["hops"] for one in vitals) < 30
    assert max(one["hops"] for one in vitals) > 40


def test_every_save_is_cut_short_at_more_than_twenty_points():
    assert all(
        trial["facts"]["vitals"]["tries"] > 20
        for one in OF_LESSON
        for trial in trials(one)
        if trial["verdict"]["status"] == "passed"
    )


def test_docstring_names_the_budgets():
    text = " ".join((LESSON.shipped.read_text().split('"""')[1]).split())
    assert f"at most {check.HOPS.limit} hops to a thread and back, and one more for each" in text
    assert f"each {check._A_HOP // 1024} KB" in text
    assert (
        f"at most {check.HELD.limit // 1024} MB of the clip has yet to be written to a file" in text
    )
