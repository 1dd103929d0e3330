"""`loopclinic.run`, for notebooks."""

import time
import uuid

import psutil
import pytest

import loopclinic
from loopclinic.runner import notebook_run as module
from loopclinic.runner.notebook_run import RunError
from tests.runner.conftest import STALLS, line_of
from tests.runner.outline import Outline


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(source):
        (tmp_path / "program.py").write_text(source, "utf-8")
        return "program.py"

    return write


def test_a_program_is_watched_to_its_end(program):
    source = STALLS + "import sys\nasyncio.run(main())\nprint('its own', sys.argv[1:])\n"
    watched = loopclinic.run(program(source), "--json", 3)
    assert watched.places[0]["line"] == line_of(source)
    assert watched.places[0]["lesson"] == "01"
    assert watched.output == "its own ['--json', '3']\n"
    assert "1 stall over 50.0 ms" in watched.headline
    assert "program.py:" in str(watched)
    shown = Outline(watched._repr_html_())
    assert "time.sleep(0.3) # the line" in shown.words
    assert Outline(watched.to_html()).open == []
    assert watched.page()._repr_html_().startswith("<iframe")


@pytest.mark.prove
def test_a_server_is_asked_to_end_and_reported(program):
    watched = loopclinic.run(
        program(STALLS + "asyncio.run(main())\nasyncio.run(asyncio.sleep(60))"), seconds=6
    )
    assert watched.report["ending"]["sentence"].startswith("was ended by SIGTERM")
    assert watched.places
    assert "asked to end after 6.00 s" in str(watched)


def test_what_it_prints_without_end_is_counted_and_cut(program):
    watched = loopclinic.run(program("print('x' * 3_000_000)\nprint('last')"))
    assert watched.output.endswith("last\n")
    assert len(watched.output) <= 2 * 16_384
    assert "printed 3 MB" in str(watched)


def test_a_crash_keeps_its_traceback(program):
    watched = loopclinic.run(
        program("import asyncio\nasyncio.run(asyncio.sleep(0))\nraise ValueError('mine')")
    )
    assert "ValueError: mine" in watched.output
    assert "ended with status 1" in str(watched)


@pytest.mark.prove
def test_one_that_ends_for_nobody_is_killed_with_a_sentence(program, monkeypatch):
    source = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "while True: time.sleep(0.1)\n"
    )
    monkeypatch.setattr(module, "_FAREWELL", 0.5)
    before = set(psutil.Process().children(recursive=True))
    mark = uuid.uuid4().hex
    with pytest.raises(RunError, match="was killed"):
        loopclinic.run(program(source), mark, seconds=6)
    end = time.monotonic() + 5
    while set(psutil.Process().children(recursive=True)) != before and time.monotonic() < end:
        time.sleep(0.05)
    assert set(psutil.Process().children(recursive=True)) == before
    assert not [
        one
        for one in psutil.process_iter(["cmdline"])
        if one.info["cmdline"] and one.info["cmdline"][-1:] == [mark]
    ]


def test_a_program_that_is_not_there_is_a_sentence(program):
    with pytest.raises(RunError, match=r"there is no file 'nowhere\.py' here"):
        loopclinic.run("nowhere.py")
