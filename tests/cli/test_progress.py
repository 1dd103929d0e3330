"""`loopclinic progress`: shown, and written as JSON."""

import json

import pytest

from loopclinic.checks import progress
from loopclinic.cli.main import main
from loopclinic.verdict import Reason, Verdict
from tests.checks.conftest import catalogue, kit, tiny  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("catalogue")


def test_show(capsys):
    assert main(["progress"]) == 0
    assert "0 of 1 labs passed; about 1 minute left" in capsys.readouterr().out
    with progress.change() as kept:
        kept.note(Verdict("77_tiny", "passed"))
    assert main(["progress", "show"]) == 0
    out = capsys.readouterr().out
    assert "1 of 1 labs passed; about 0 minutes left" in out
    assert "1 check, 0 hints" in out


def test_export(capsys, tmp_path):
    with progress.change() as kept:
        kept.note(Verdict("77_tiny", "passed", headline="/home/ann/labs"))
    assert main(["progress", "export"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == 1
    assert data["lessons"]["77_tiny"]["attempts"] == 1
    assert "name" not in data
    assert "ann" not in json.dumps(data)
    file = tmp_path / "out.json"
    assert main(["progress", "export", "--name", "Bo", "--output", str(file)]) == 0
    again = json.loads(file.read_text())
    assert again["name"] == "Bo"
    assert again["token"] == data["token"] == progress.read().token
    assert again["lessons"] == data["lessons"]
    assert main(["progress", "export", "--output", str(tmp_path / "no" / "out.json")]) == 2


def test_export_leaves_the_progress_as_it_was():
    reason = Reason("No.", conflict="blocking-retry")
    with progress.change() as kept:
        kept.note(Verdict("77_tiny", "not-yet", (reason,)))
        kept.note(Verdict("77_tiny", "passed"))
    assert main(["progress", "export"]) == 0
    one = progress.read().of("77_tiny")
    assert (one.attempts, one.passed, one.met) == (2, True, {"blocking-retry": 1})
