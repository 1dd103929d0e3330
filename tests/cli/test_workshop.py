"""`loopclinic doctor --workshop`: every server, JupyterLab, every lesson, one line each."""

import json

import pytest

from loopclinic.checks import checking, progress
from loopclinic.cli import doctor
from loopclinic.cli.doctor_checks import DEEP, EXAMINATIONS, Finding
from loopclinic.cli.main import main
from loopclinic.lessons import lessons
from loopclinic.servers import SERVICES
from loopclinic.verdict import Reason, Verdict

LABS = [one for one in lessons() if one.shipped is not None]


@pytest.fixture
def quick(monkeypatch):
    """Replace what takes long; checks of solutions answer as `answers` says, in turn."""
    answers, asked = {}, []

    def judge(one, *, file):
        asked.append((one.number, file.parent.name))
        said = answers.get(one.number, [])
        return said.pop(0) if said else Verdict(one.name, "passed")

    monkeypatch.setattr(doctor, "EXAMINATIONS", {"one": lambda: Finding("one", "ok", "works")})
    monkeypatch.setattr(doctor, "DEEP", {})
    monkeypatch.setattr(checking, "check_lesson", judge)
    return answers, asked


def not_yet(number):
    return Verdict(number, "not-yet", (Reason("It was late.\n  ^^^"),))


def test_every_server_and_lesson_is_on_the_list(quick, capsys):
    assert {*SERVICES} <= {*EXAMINATIONS}
    assert {"jupyterlab", "bot api"} <= {*DEEP}
    assert main(["doctor", "--workshop", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["findings"][1:]] == [
        f"lesson {one.number}" for one in LABS
    ]
    assert all(one["seconds"] >= 0 for one in found["findings"])
    # Solutions, not the learner's labs; and nobody's progress changes.
    assert quick[1] == [(one.number, "solutions") for one in LABS]
    assert progress.read().lessons == {}


def test_one_line_each_with_its_seconds(quick, capsys):
    assert main(["doctor", "--workshop"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(LABS) + 2
    assert lines[1].startswith("ok  ")
    assert " s  lesson 01  " in lines[1]
    assert lines[-1].startswith("Ready for the workshop")


def test_a_busy_moment_is_a_note(quick, capsys):
    quick[0]["01"] = [not_yet("01")]
    assert main(["doctor", "--workshop"]) == 0
    out = capsys.readouterr().out
    assert "note" in out
    assert "passed on the second try. It was late.\n" in out


def test_a_solution_that_fails_twice_is_to_do(quick, capsys):
    quick[0]["02"] = [not_yet("02"), not_yet("02")]
    assert main(["doctor", "--workshop"]) == 1
    out = capsys.readouterr().out
    assert "its solution failed twice: It was late." in out
    assert "loopclinic check 02 --solution" in out
    assert "1 thing to do" in out


def test_a_check_that_cannot_run_says_why(quick, capsys):
    reason = Reason("PostgreSQL does not start.", next_step="Free some memory.")
    quick[0]["02"] = [Verdict("02", "could-not-run", (reason,))]
    assert main(["doctor", "--workshop"]) == 1
    out = capsys.readouterr().out
    assert "its check can't run: PostgreSQL does not start." in out
    assert "-> Free some memory." in out


def test_too_long_is_said(quick, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "PATIENCE", 0.0)
    assert main(["doctor", "--workshop"]) == 0
    assert "That took over" in capsys.readouterr().out


def test_an_examination_that_breaks_is_a_line(quick, capsys, monkeypatch):
    def broken():
        raise OSError("no such luck")

    monkeypatch.setattr(doctor, "EXAMINATIONS", {"one": broken})
    assert main(["doctor", "--workshop"]) == 1
    assert "OSError: no such luck" in capsys.readouterr().out


@pytest.mark.prove
def test_a_real_solution_passes():
    found = doctor.examine_lesson("01")
    assert found.state in ("ok", "note"), found
    assert progress.read().lessons == {}
