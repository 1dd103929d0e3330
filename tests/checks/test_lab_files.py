"""Reset of a lab: the shipped file comes back, and nothing is lost."""

from datetime import UTC, datetime

import pytest

from loopclinic.checks import lab_files
from loopclinic.lessons import Lesson
from loopclinic.paths import state_dir

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_reset_keeps_a_backup(tiny, lab):
    lab.write_text("my work")
    done = lab_files.reset(tiny, now=NOW)
    assert lab.read_bytes() == tiny.shipped.read_bytes()
    assert done.backup == state_dir() / "backups" / "77_tiny-20300102-030405.py"
    assert done.backup.read_text() == "my work"


def test_two_resets_in_one_second_keep_two_backups(tiny, lab):
    backups = []
    for text in ("one", "two"):
        lab.write_text(text)
        backups.append(lab_files.reset(tiny, now=NOW).backup)
    assert [backup.read_text() for backup in backups] == ["one", "two"]


def test_reset_of_a_missing_file(tiny, kit):
    done = lab_files.reset(tiny)
    assert done.path == kit / "labs" / "77_tiny.py"
    assert (done.backup, done.changed) == (None, True)
    assert done.path.read_bytes() == tiny.shipped.read_bytes()


def test_reset_of_an_untouched_file_does_nothing(tiny, lab):
    before = lab.stat().st_mtime_ns
    done = lab_files.reset(tiny)
    assert (done.backup, done.changed) == (None, False)
    assert lab.stat().st_mtime_ns == before


def test_reset_keeps_what_is_not_text_and_what_is_a_folder(tiny, lab):
    lab.write_bytes(b"\xff\0")
    assert lab_files.reset(tiny).backup.read_bytes() == b"\xff\0"
    lab.unlink()
    lab.mkdir()
    (lab / "notes.txt").write_text("mine")
    backup = lab_files.reset(tiny).backup
    assert (backup / "notes.txt").read_text() == "mine"
    assert lab.is_file()


def test_a_link_stays_a_link(tiny, lab, tmp_path):
    target = tmp_path / "elsewhere.py"
    target.write_text("mine")
    lab.unlink()
    lab.symlink_to(target)
    lab_files.reset(tiny)
    assert lab.is_symlink()
    assert target.read_bytes() == tiny.shipped.read_bytes()


def test_a_lesson_without_a_lab_names_its_notebook():
    none = Lesson(number="00", stem="nowhere", title="", summary="", minutes=1)
    with pytest.raises(lab_files.NoLabError, match=r"notebooks/00_nowhere\.ipynb"):
        lab_files.lab_path(none)
