"""`loopclinic reset`: says where the backup is."""

import json
from pathlib import Path

import pytest

from loopclinic.cli.main import main
from tests.checks.conftest import catalogue, kit, lab, tiny  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("catalogue")


def test_the_backup_is_named_and_there(lab, tiny, capsys):  # noqa: F811
    lab.write_text("mine")
    assert main(["reset", "77"]) == 0
    out = capsys.readouterr().out
    backup = Path(out.rsplit(" ", 1)[1].strip().rstrip("."))
    assert backup.read_text() == "mine"
    assert lab.read_bytes() == tiny.shipped.read_bytes()


def test_json(lab, capsys):  # noqa: F811
    assert main(["reset", "77", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done == {"file": str(lab), "backup": None, "changed": False}


def test_a_missing_lab_comes_back(lab, capsys):  # noqa: F811
    lab.unlink()
    assert main(["reset", "77"]) == 0
    assert lab.exists()
    assert "missing" in capsys.readouterr().out
