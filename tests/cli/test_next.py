"""`loopclinic next`: prints the next lesson and the files to open."""

import json

from loopclinic.checks import progress
from loopclinic.cli.main import main
from loopclinic.lessons import lessons
from loopclinic.verdict import Verdict
from tests.checks.conftest import kit  # noqa: F401 - a fixture


def say_next(capsys):
    assert main(["next", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def check_all(status, *numbers):
    with progress.change() as kept:
        for one in lessons():
            if one.number in numbers:
                kept.note(Verdict(one.name, status))


def test_from_the_first_lesson_to_the_end(capsys):
    first = say_next(capsys)
    assert (first["number"], first["lab"]) == ("00", None)
    assert first["notebook"] == "notebooks/00_start_here.ipynb"
    check_all("not-yet", "01")
    assert say_next(capsys)["number"] == "01"
    check_all("passed", *(one.number for one in lessons()))
    assert say_next(capsys) is None


def test_in_words(capsys):
    check_all("not-yet", "01")
    assert main(["next"]) == 0
    out = capsys.readouterr().out
    for words in ("notebooks/01_blocking_sleep.ipynb", "labs/01_blocking_sleep.py", "watch 01"):
        assert words in out


def test_a_newer_record_is_refused_with_the_repair(capsys):
    progress.path().write_text('{"schema": 9}')
    assert main(["next"]) == 2
    assert "LOOPCLINIC_HOME" in capsys.readouterr().err
