"""`loopclinic hint`: each call shows the next hint."""

import json

import pytest

from loopclinic.cli.main import main
from tests.checks.conftest import catalogue, kit, tiny  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("catalogue")


def test_three_grades_then_the_last_again(capsys, tiny):  # noqa: F811
    for text in (*tiny.hints, tiny.hints[-1]):
        assert main(["hint", "77"]) == 0
        out = capsys.readouterr().out
        assert text in out
    assert "Hint 3 of 3" in out
    assert "loopclinic solution 77" in out


def test_json(capsys, tiny):  # noqa: F811
    main(["hint", "77", "--json"])
    assert json.loads(capsys.readouterr().out) == {"grade": 1, "grades": 3, "text": tiny.hints[0]}
