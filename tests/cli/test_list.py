"""`loopclinic list`: minutes, progress, prerequisites."""

import io
import json

import pytest
from rich.console import Console

from loopclinic.checks import progress
from loopclinic.cli.list_lessons import lesson_table
from loopclinic.cli.main import main
from loopclinic.lessons import lessons
from tests.checks.conftest import SOLVED, catalogue, kit, lab, tiny  # noqa: F401 - fixtures


@pytest.mark.usefixtures("catalogue")
def test_progress_is_shown(lab, capsys):  # noqa: F811
    assert main(["list"]) == 0
    listed, _, _ = capsys.readouterr().out.partition("\n\n")
    assert listed == "77\tnew\t1 min\tTiny\tafter 01"
    main(["check", "77"])
    lab.write_text(SOLVED)
    capsys.readouterr()
    for state in ("begun", "passed"):
        assert main(["list", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["progress"] == state
        main(["check", "77"])
        capsys.readouterr()


def test_every_lesson_there_is(capsys):
    assert main(["list"]) == 0
    listed, _, routes = capsys.readouterr().out.partition("\n\n")
    rows = [line.split("\t") for line in listed.splitlines()]
    assert [row[0] for row in rows] == [one.number for one in lessons()]
    assert rows[0][:2] == ["00", "open"]
    assert "90 minutes\t75 min\t00 01 02\n" in routes
    assert f"two days\t{sum(one.minutes for one in lessons())} min\t00 01 " in routes


def test_the_table_marks_what_is_next():
    out = io.StringIO()
    Console(file=out, width=100, force_terminal=True, color_system=None).print(
        lesson_table(progress.read())
    )
    marked = [line for line in out.getvalue().splitlines() if line.startswith(">")]
    assert len(marked) == 1
    assert " 00 " in marked[0]


def test_a_damaged_record_is_told(capsys):
    progress.path().write_text("{")
    assert main(["list"]) == 0
    assert "progress.damaged" in capsys.readouterr().err
