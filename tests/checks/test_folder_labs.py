"""Labs that are folders: import, lines named in verdicts, reset, watch."""

import shutil
import time

import pytest
from shelf_lesson import LESSON

from loopclinic.checks import check_lesson, lab_files
from loopclinic.checks.trial_processes import Limits, Shortage
from loopclinic.checks.watching import Watching
from loopclinic.verdict import Promise, Verdict

STOCK = "shelf/stock.py"


@pytest.fixture
def folder(kit):
    """The learner's folder, as shipped."""
    path = kit / "labs" / "78_shelf"
    shutil.copytree(LESSON.shipped, path, ignore=shutil.ignore_patterns("__pycache__"))
    return path


@pytest.fixture
def change(folder):
    def write(text, file=STOCK):
        (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    return write


def test_its_package_is_imported_by_its_own_name_and_the_shipped_one_beside_it(change):
    verdict = check_lesson(
        LESSON, file=change("async def count(*things):\n    return len(things)\n")
    )
    assert verdict.passed, str(verdict)
    assert verdict.headline.startswith("2 ['shelf.stock'] True")


def test_a_stall_in_a_module_of_it_is_named_by_the_learners_own_line(folder):
    verdict = check_lesson(LESSON, file=folder)
    (reason,) = verdict.reasons
    assert (reason.file, reason.line) == (str(folder / STOCK), 5)
    assert reason.sentence == "time.sleep(0.3)"
    assert verdict.promises == (
        Promise(1, "kept", "It answers how many things there are."),
        Promise(2, "broken", "It never sleeps on the loop."),
        Promise(3, "kept", "It leaves nothing behind."),
    )


def test_promises_that_a_hang_keeps_from_being_judged_are_not_reached(change, monkeypatch):
    monkeypatch.setattr(Shortage, "share", 0.0)  # however busy the tests keep the machine
    monkeypatch.setattr(Shortage, "worst", 0.0)
    file = change("import asyncio\n\nasync def count(*things):\n    await asyncio.Event().wait()\n")
    verdict = check_lesson(LESSON, file=file, limits=Limits(seconds=2))
    (reason,) = verdict.reasons
    assert "got no further" in reason.sentence
    assert {one.state for one in verdict.promises} == {"not-reached"}


def test_what_is_left_behind_breaks_the_promise_that_says_so(change):
    file = change(
        "import asyncio\n\nasync def count(*things):\n    global kept\n"
        "    kept = asyncio.create_task(asyncio.sleep(60))\n    return len(things)\n"
    )
    verdict = check_lesson(LESSON, file=file)
    assert [one.promise for one in verdict.reasons] == [3]
    assert [one.state for one in verdict.promises] == ["kept", "kept", "broken"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("def count(\n", 1, "Python can't read line 1"),
        ("import nowhere\n", 1, "Importing the file raised ModuleNotFoundError"),
        ("x = 1\n\ny = 1 / 0\n", 3, "at line 3: `y = 1 / 0`"),
        ("async def count(*things):\n    raise KeyError(things)\n", 2, "raised KeyError"),
        (b"x = 1\ny = '\xff'\n", 2, "byte 0xff"),
        (b"x = 1\0\n", 1, "null byte"),
        (
            "import os\n\nasync def count(*things):\n    os._exit(3)\n",
            4,
            "ended the whole process",
        ),
        (
            "import time\n\nasync def count(*things):\n    time.sleep(60)\n",
            4,
            "stuck at line 4",
        ),
    ],
)
@pytest.mark.rows(2)
def test_what_breaks_in_a_module_is_told_with_that_file(change, text, line, said):
    from loopclinic.checks.trial_processes import Limits

    folder = change(text)
    verdict = check_lesson(LESSON, file=folder, limits=Limits(seconds=3.0))
    (reason,) = verdict.reasons
    assert said in reason.sentence, str(verdict)
    assert reason.line == line, str(verdict)
    assert reason.file == str(folder / STOCK), str(verdict)


def test_what_is_missing_is_named(folder):
    (folder / "shelf" / "__init__.py").unlink()
    (reason,) = check_lesson(LESSON, file=folder).reasons
    assert reason.file == str(folder / "shelf" / "__init__.py")
    assert "is missing" in reason.sentence
    shutil.rmtree(folder)
    (reason,) = check_lesson(LESSON, file=folder).reasons
    assert f"{folder} is missing" in reason.sentence


def test_a_file_in_its_place_is_told(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("x = 1\n")
    (reason,) = check_lesson(LESSON, file=file).reasons
    assert "mine.py is a file, but this lab is a folder" in reason.sentence
    assert "labs/78_shelf" in reason.next_step


def test_a_folder_that_holds_an_environment_is_refused(folder):
    for number in range(501):
        (folder / f"module_{number}.py").touch()
    (reason,) = check_lesson(LESSON, file=folder).reasons
    assert "more than 500 Python files" in reason.sentence


def test_reset_puts_all_of_it_back_and_keeps_all_of_theirs(folder):
    (folder / STOCK).write_text("mine")
    (folder / "notes.txt").write_text("mine, too")
    (folder / "more.py").write_text("x = 1")
    done = lab_files.reset(LESSON)
    assert (folder / STOCK).read_bytes() == (LESSON.shipped / STOCK).read_bytes()
    assert (folder / "notes.txt").read_text() == "Read me.\n"
    assert not (folder / "more.py").exists()
    assert done.backup is not None
    kept = {one.name: one.read_text() for one in done.backup.rglob("*.*")}
    assert (kept["stock.py"], kept["notes.txt"], kept["more.py"]) == ("mine", "mine, too", "x = 1")
    assert [one.name for one in folder.parent.iterdir()] == ["78_shelf"]


def test_reset_does_nothing_to_one_that_only_has_caches_more(folder):
    (folder / "shelf" / "__pycache__").mkdir()
    (folder / ".pytest_cache").mkdir()
    assert not lab_files.reset(LESSON).changed
    (folder / "notes.txt").unlink()
    assert lab_files.reset(LESSON).changed
    assert (folder / "notes.txt").exists()


def test_reset_of_a_missing_one(kit):
    done = lab_files.reset(LESSON)
    assert (done.backup, done.changed) == (None, True)
    assert (kit / "labs" / "78_shelf" / STOCK).is_file()


@pytest.mark.parametrize(
    "edit",
    [
        lambda folder: (folder / STOCK).write_text("x = 12345"),
        lambda folder: (folder / "shelf" / "new.py").touch(),
        lambda folder: (folder / STOCK).unlink(),
    ],
    ids=["save", "new file", "removal"],
)
def test_the_watch_sees_what_changes_in_it(folder, edit):
    verdicts = []
    watching = Watching(
        folder,
        lambda on_step, stop: Verdict("78_shelf", "passed"),
        on_start=lambda: None,
        on_step=lambda step: None,
        on_verdict=verdicts.append,
    )
    watching.start()
    try:
        time.sleep(0.5)
        assert verdicts == []
        edit(folder)
        ends = time.monotonic() + 10
        while not verdicts:
            assert time.monotonic() < ends
            time.sleep(0.02)
    finally:
        watching.stop()
