"""Hand-ins of a class: good files count once, each of the others gets a remark."""

import json
import os

import pytest

from loopclinic.checks import class_results
from loopclinic.checks.class_results import UnreadableHandInError

FIRST, SECOND = "01_blocking_sleep", "02_sync_database"


def lesson(attempts=1, *, passed=False, last=(), met=None, hints=0):
    return {
        "attempts": attempts,
        "hints": hints,
        "passed_at": "2026-01-02T10:00:00+00:00" if passed else None,
        "last_conflicts": list(last),
        "met": dict.fromkeys(last, 1) if met is None else met,
    }


def handed(lessons, *, token, name=None, written="2026-01-02T10:00:00+00:00"):
    made = {"kind": "loopclinic progress", "schema": 1, "token": token, "written": written}
    if name is not None:
        made["name"] = name
    return json.dumps({**made, "lessons": lessons})


@pytest.fixture
def put(tmp_path):
    def write(name, content):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return tmp_path

    return write


def test_where_the_room_is(put):
    put("a", handed({FIRST: lesson(3, passed=True, met={"blocking-retry": 2})}, token="a"))
    put("b", handed({FIRST: lesson(9, passed=True)}, token="b"))
    stuck = lesson(4, last=["executor-saturation"], hints=2)
    put("c", handed({FIRST: lesson(1, passed=True), SECOND: stuck}, token="c"))
    found = class_results.gather(put("d", handed({}, token="d")))
    assert [one.label for one in found.learners] == [f"unnamed {n}" for n in (1, 2, 3, 4)]
    first, second = found.lessons[:2]
    assert (first.passed, first.at_it, first.new, first.checks) == (3, 0, 1, 3)
    assert (second.passed, second.at_it, second.new, second.checks) == (0, 1, 3, None)
    assert second.hints == 1
    assert found.held_up == second
    counted = [(one.lesson.name, one.conflict, one.met, one.now) for one in found.conflicts]
    assert counted == [
        (SECOND, "executor-saturation", 1, 1),  # somebody still has it, so it stands first
        (FIRST, "blocking-retry", 1, 0),
    ]
    assert found.remarks == ()


def test_of_equally_many_the_lesson_with_more_checks_holds_up(put):
    put("a", handed({FIRST: lesson(2)}, token="a"))
    found = class_results.gather(put("b", handed({SECOND: lesson(3)}, token="b")))
    assert found.held_up.lesson.name == SECOND


@pytest.mark.parametrize("late_name", ["a-late", "z-late"])
def test_the_newest_file_of_a_learner_counts(put, late_name):
    early = handed({FIRST: lesson(1)}, token="a", written="2026-01-02T10:00:00+00:00")
    late = handed({FIRST: lesson(5)}, token="a", written="2026-01-02T11:00:00+00:00")
    put("m-early", early)
    found = class_results.gather(put(late_name, late))
    assert [one.at(found.lessons[0].lesson).attempts for one in found.learners] == [5]
    assert found.remarks == (f"m-early is older than {late_name}, by the same learner: left out.",)


def test_a_copy_counts_once_also_without_a_token(put):
    text = json.dumps({"schema": 1, "told_about_rights": True, "lessons": {FIRST: lesson(2)}})
    put("progress.json", text)
    found = class_results.gather(put("progress (1).json", text))
    assert len(found.learners) == 1
    assert "is a copy of" in found.remarks[0]


def test_two_of_one_name_are_two(put):
    put("1", handed({}, token="a", name="Kim"))
    found = class_results.gather(put("2", handed({}, token="b", name="Kim")))
    assert [one.label for one in found.learners] == ["Kim", "Kim (2)"]
    assert found.remarks == ("2 is by another Kim, from another computer: both count.",)


WHOLE = handed({FIRST: lesson(2)}, token="a")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (WHOLE[: len(WHOLE) // 2], "ends in the middle"),
        (WHOLE[:-1], "ends in the middle"),
        (WHOLE[:3], "ends in the middle"),
        ("Dear all,", "is not JSON"),
        (b"\x89PNG\r\n\x1a\n\xff\x00", "is not text"),
        ("[1, 2]", "JSON of something else"),
        ('{"lessons": {}}', "JSON of something else"),
        ('{"schema": 1, "lessons": 3}', "JSON of something else"),
        ('{"schema": 2, "lessons": {}}', "newer loopclinic"),
        (handed({FIRST: {"attempts": -1}}, token="a"), "changed by hand"),
        (handed({FIRST: {"attempts": True}}, token="a"), "changed by hand"),
        (handed({FIRST: {"attempts": 1, "passed_at": 4}}, token="a"), "changed by hand"),
        (handed({FIRST: {"attempts": 1, "met": [3]}}, token="a"), "changed by hand"),
        (handed({FIRST: {"attempts": 1, "last_conflicts": [[]]}}, token="a"), "changed by hand"),
        (handed({FIRST: []}, token="a"), "changed by hand"),
        ("[" * 100_000, "is no hand-in"),
        (b" " * 1_000_001, "too large"),
    ],
)
def test_a_bad_file_gets_a_sentence_and_the_rest_counts(put, content, sentence):
    put("bad", content)
    found = class_results.gather(put("good", WHOLE))
    assert [one.results.file for one in found.learners] == ["good"]
    assert len(found.remarks) == 1
    assert found.remarks[0].startswith("bad ")
    assert sentence in found.remarks[0]
    assert found.remarks[0].endswith(".")


def test_folders_and_pipes_are_not_waited_for(put, tmp_path):
    (tmp_path / "more").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UnreadableHandInError, match="not an ordinary file"):
            class_results.read_hand_in(tmp_path / "pipe")
    put(".DS_Store", "x")
    found = class_results.gather(put("good", WHOLE))
    assert len(found.learners) == 1
    assert "more is a folder: move its files up." in found.remarks


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_powershell_writes_is_read(put, encoding):
    found = class_results.gather(put("a", handed({}, token="a", name="Zoë").encode(encoding)))
    assert [one.label for one in found.learners] == ["Zoë"]


def test_a_lesson_of_another_kit_is_named_and_left_out(put):
    found = class_results.gather(put("a", handed({"99_new": lesson(), FIRST: lesson()}, token="a")))
    assert "99_new" in found.remarks[0]
    assert found.lessons[0].at_it == 1


def test_a_name_is_one_printable_line(put):
    name = "A\x1b[31m\n\u202eB" + "c" * 100
    found = class_results.gather(put("a", handed({}, token="a", name=name)))
    assert found.learners[0].label.startswith("A [31m B")
    assert len(found.learners[0].label) == 60


def test_what_is_made_is_read_back(tmp_path):
    from loopclinic.checks import progress
    from loopclinic.verdict import Reason, Verdict

    with progress.change() as kept:
        kept.note(Verdict(FIRST, "not-yet", (Reason("No.", conflict="blocking-retry"),)))
    file = tmp_path / "a.json"
    file.write_text(json.dumps(class_results.hand_in("  Ann \n Lee ")))
    back = class_results.read_hand_in(file)
    assert back.name == "Ann Lee"
    assert back.token == progress.read().token != ""
    assert back.lessons[FIRST].met == {"blocking-retry": 1}
    assert back.lessons[FIRST].attempts == 1
