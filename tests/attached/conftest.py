"""Fixtures of the tests that attach to processes."""

import re
import sys

import pytest

from loopclinic.cli.main import main
from tests.attached.programs import PROGRAMS, marked


@pytest.fixture(autouse=True)
def _on_linux():
    if sys.platform != "linux":
        pytest.skip("attach reads Linux's /proc")


@pytest.fixture
def attach(capsys):
    """Return a function that runs `loopclinic attach`, and gives its exit status and what it printed."""

    def run(*words):
        status = main(["attach", *map(str, words)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def answers_rightly(attach):
    """Return a function that asserts what `--once` says of a program."""

    def assert_right(name, process):
        _, expected, conflict, _ = PROGRAMS[name]
        status, out, _ = attach("--once", process.pid)
        assert status == {"free": 0, "stuck": 1, "none": 3}[expected], out
        lines = {int(line) for line in re.findall(r"programs\.py:(\d+)", out)}
        if expected == "stuck" and marked(name):
            assert lines
            assert lines <= marked(name), out
        assert expected == "stuck" or not lines, out
        assert conflict is None or conflict in out, out

    return assert_right
