"""`loopclinic check`: exit status, JSON, --file, the notice about rights."""

import json
import subprocess
import sys

import pytest

from loopclinic.checks.checking import RIGHTS
from loopclinic.cli.main import main
from tests.checks.conftest import SOLVED, catalogue, kit, lab, tiny  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("catalogue")


def test_the_shipped_lab_exits_with_1(lab, capsys):  # noqa: F811
    assert main(["check", "77"]) == 1
    out, err = capsys.readouterr()
    assert "blocking-sleep" in out
    assert f"{lab}:11" in out
    assert err.strip() == RIGHTS
    assert main(["check", "77"]) == 1
    assert RIGHTS not in "".join(capsys.readouterr())


def test_a_pass_exits_with_0_and_says_what_is_next(lab, capsys):  # noqa: F811
    lab.write_text(SOLVED)
    assert main(["check", "77"]) == 0
    assert "loopclinic next" in capsys.readouterr().out


def test_the_solution(lab, capsys):  # noqa: F811
    assert main(["check", "77", "--solution", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "passed"


def test_json_and_seed(lab, capsys):  # noqa: F811
    assert main(["check", "77", "--json", "--seed", "5"]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["schema"], verdict["lesson"], verdict["seed"]) == (2, "77_tiny", 5)
    assert (verdict["status"], verdict["passed"]) == ("not-yet", False)
    assert verdict["conflicts"] == ["blocking-sleep"]
    reason = verdict["reasons"][0]
    assert (reason["file"], reason["line"]) == (str(lab), 11)
    assert {"conflict", "sentence", "measured", "budget"} <= set(reason)


def test_another_file(lab, tmp_path, capsys):  # noqa: F811
    mine = tmp_path / "mine.py"
    mine.write_text(SOLVED)
    assert main(["check", "77", "--file", str(mine)]) == 0
    assert main(["check", "77", "--file", str(tmp_path / "nowhere.py")]) == 1
    assert "missing" in capsys.readouterr().out


def test_the_machine_exits_with_2(lab, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    assert main(["check", "77"]) == 2
    assert "Could not run" in capsys.readouterr().out


def test_an_unknown_lesson_exits_with_2(capsys):
    assert main(["check", "99"]) == 2
    assert "no lesson '99'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status"), [(["99"], 2), (["01", "--file", "nowhere.py"], 1)]
)
def test_the_status_of_the_process(arguments, status, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "loopclinic", "check", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
