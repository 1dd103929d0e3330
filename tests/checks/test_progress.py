"""The progress file: atomic writes, locks, versions, damaged files."""

import json
import threading

import pytest

from loopclinic.checks import progress
from loopclinic.verdict import Reason, Verdict

PASSED = Verdict("01_blocking_sleep", "passed", headline="Fine.")
FAILED = Verdict("01_blocking_sleep", "not-yet", (Reason("No.", conflict="blocking-retry"),))


def test_a_pass_is_kept_by_later_failures():
    for verdict in (FAILED, PASSED, FAILED):
        with progress.change() as kept:
            kept.note(verdict)
    one = progress.read().of("01_blocking_sleep")
    assert one.passed
    assert one.attempts == 3
    assert (one.last_status, one.last_conflicts) == ("not-yet", ["blocking-retry"])
    assert one.met == {"blocking-retry": 2}


def test_a_file_from_before_conflicts_were_counted_is_read():
    text = '{"schema": 1, "told_about_rights": true, "lessons": {"a": {"attempts": 3}}}'
    progress.path().write_text(text)
    kept = progress.read()
    assert not kept.complaint
    assert (kept.of("a").attempts, kept.of("a").met, kept.token) == (3, {}, "")


def test_a_check_that_could_not_run_does_not_count():
    with progress.change() as kept:
        kept.note(Verdict("01_blocking_sleep", "could-not-run"))
    assert progress.read().lessons == {}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b'{"schema": 0}',
        b'{"schema": 1, "told_about_rights": true, "lessons": {"a": 3}}',
        b'{"schema": 1, "told_about_rights": true, "lessons": {"a": {"hints": "x"}}}',
        b'{"schema": 1, "told_about_rights": true, "lessons": {"a": {"met": 3}}}',
    ],
)
def test_a_damaged_file_is_set_aside_and_said_so(data):
    progress.path().write_bytes(data)
    kept = progress.read()
    assert kept.lessons == {}
    aside = list(progress.path().parent.glob("progress.damaged-*.json"))
    assert [one.read_bytes() for one in aside] == [data]
    assert str(aside[0]) in kept.complaint
    assert not progress.path().exists()


def test_a_newer_file_is_left_alone():
    text = '{"schema": 2, "everything": "else"}'
    progress.path().write_text(text)
    with pytest.raises(progress.ProgressError, match="newer"), progress.change():
        pass
    assert progress.path().read_text() == text


def test_unknown_fields_of_the_same_schema_are_passed_over():
    lessons = {"01_blocking_sleep": {"attempts": 2, "later": 1}}
    data = {"schema": 1, "told_about_rights": True, "lessons": lessons}
    progress.path().write_text(json.dumps(data))
    assert progress.read().of("01_blocking_sleep").attempts == 2


def test_changes_from_many_threads_all_count():
    def note():
        for _ in range(5):
            with progress.change() as kept:
                kept.note(FAILED)

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress.read().of("01_blocking_sleep").attempts == 20


def test_a_failing_change_leaves_the_file_as_it_was():
    with progress.change() as kept:
        kept.note(PASSED)
    before = progress.path().read_bytes()

    def fail():
        with progress.change() as kept:
            kept.lessons.clear()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert progress.path().read_bytes() == before


def test_a_folder_that_can_not_be_written_names_the_repair(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path / "file" / "state"))
    with pytest.raises(progress.ProgressError, match="LOOPCLINIC_HOME"), progress.change():
        pass


def test_no_scratch_files_stay_behind():
    with progress.change() as kept:
        kept.note(PASSED)
    found = {one.name for one in progress.path().parent.iterdir()} - {"postgres"}  # the fixture's
    assert found <= {
        "progress.json",
        "progress.lock",
    }
