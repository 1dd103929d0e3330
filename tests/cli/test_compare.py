"""`loopclinic compare`: what it writes, and with which status it ends."""

import json
import shlex
import subprocess
import sys

import pytest

from loopclinic.cli.main import main
from tests.runner.outline import Outline

QUICK = ("--rate", "30", "--seconds", "0.4", "--rounds", "1", "--warmup", "0")
SAME = "async def handler(request): return request.payload\n"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(SAME, "utf-8")
    (tmp_path / "dies.py").write_text("raise ValueError('no luck')\n", "utf-8")
    return tmp_path


@pytest.mark.prove
def test_two_files_become_a_page_a_comment_and_figures(shop, capsys):
    forms = ("--html", "r.html", "--markdown", "r.md", "--json", "r.json")
    assert main(["compare", "a.py:handler", "b.py", *QUICK, *forms]) == 0
    captured = capsys.readouterr()
    assert "can't be told from 1 round" in captured.out
    assert "slowest request" in captured.out  # of so few, a p99 would be no other
    assert captured.err.count("written to") == 3
    found = json.loads((shop / "r.json").read_text("utf-8"))
    assert found["variants"] == ["a:handler", "b"]
    assert found["load"]["method"] == "GET"
    assert found["command"] in Outline((shop / "r.html").read_text("utf-8")).words
    assert found["command"] in (shop / "r.md").read_text("utf-8")
    again = shlex.split(found["command"])
    assert again[:4] == ["loopclinic", "compare", "a.py:handler", "b.py"]
    assert main([*again[1:], "--no-scan"]) == 0, "the command to repeat it can be repeated"


@pytest.mark.parametrize(
    ("payloads", "first"),
    [('[{"n": 1}, {"n": 2}]', {"n": 1}), ('{"n": 3}\n\n{"n": 4}\n', {"n": 3})],
)
def test_payloads_are_read_and_posted(shop, payloads, first):
    (shop / "p.json").write_text(payloads, "utf-8")
    options = ("--payloads", "p.json", "--jobs", "3", "--json", "r.json", "--rounds", "1")
    assert main(["compare", "a.py:handler", *options]) == 0
    load = json.loads((shop / "r.json").read_text("utf-8"))["load"]
    assert load["payloads"][0] == first
    assert (load["method"], load["jobs"]) == ("POST", 3)


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("a.py:handler dies.py:handler", 1, "did not start: ValueError: no luck"),
        ("a.py:handler nowhere.py:x", 1, "there is no file"),
        ("a.py:handler handler", 1, "write it as 'FILE.py:name'"),
        ("a.py:handler --html no/such/page.html", 2, "name a file in a folder that exists"),
        ("a.py:handler --payloads dies.py", 2, "line 1: not valid JSON"),
        ("a.py:handler --payloads none.json", 2, "can't be read"),
    ],
)
def test_what_can_not_be_compared_is_a_sentence(shop, capsys, line, status, said):
    assert main(["compare", *line.split(), *QUICK]) == status
    captured = capsys.readouterr()
    assert said in captured.err.splitlines()[-1]


@pytest.mark.parametrize("option", [("--rate", "0"), ("--rounds", "1.5"), ("--warmup", "x")])
def test_numbers_that_make_no_sense_are_refused(shop, capsys, option):
    with pytest.raises(SystemExit) as ended:
        main(["compare", "a.py:handler", *option])
    assert ended.value.code == 2
    assert "is not a" in capsys.readouterr().err


def test_the_help_says_whose_code_runs():
    done = subprocess.run(
        [sys.executable, "-m", "loopclinic", "compare", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    words = " ".join(done.stdout.split())
    assert "runs as an ordinary process, with all your rights" in words
    assert "reads files and never runs them" in words
    assert "{port}" in words
