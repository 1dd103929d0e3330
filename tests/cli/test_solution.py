"""`loopclinic solution`: after a pass, or on request."""

import json

import pytest

from loopclinic.checks import progress
from loopclinic.cli.main import main
from tests.checks.conftest import SOLVED, catalogue, kit, lab, tiny  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("catalogue", "lab")


def test_before_a_pass_it_is_asked_for(capsys):
    assert main(["solution", "77"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "--yes" in err


def test_on_request(capsys):
    assert main(["solution", "77", "--yes"]) == 0
    assert capsys.readouterr().out == SOLVED
    assert progress.read().of("77_tiny").solution_seen


def test_after_a_pass(lab, capsys):  # noqa: F811
    lab.write_text(SOLVED)
    main(["check", "77"])
    capsys.readouterr()
    assert main(["solution", "77", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == SOLVED


def test_difference(capsys):
    assert main(["solution", "77", "--yes", "--diff"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "-    time.sleep(0.3)" in lines
    assert "+    await asyncio.sleep(0.01)" in lines


def test_a_missing_solution_is_the_kits_fault(kit, capsys):  # noqa: F811
    (kit / "solutions" / "77_tiny.py").unlink()
    assert main(["solution", "77", "--yes"]) == 2
    assert "missing" in capsys.readouterr().err
