"""What a run saw of a scan's findings: which stalls belong to which."""

import json

import pytest

from loopclinic.cli.main import main
from loopclinic.scanner.options import Settings
from loopclinic.scanner.scanning import scan_path
from loopclinic.scanner.seen import sentences, with_seen


def stall(root, stack, conflict, seconds, lines=None):
    """A stall at the last place of a stack; places are (file, line)."""
    frames = [{"file": str(root / file), "line": line} for file, line in stack]
    shares = [
        {"file": str(root / file), "line": line, "seconds": took}
        for (file, line), took in (lines or {stack[-1]: seconds}).items()
    ]
    return {
        **frames[-1],
        "stack": frames,
        "conflict": conflict,
        "seconds": seconds,
        "lines": shares,
    }


@pytest.fixture
def found(tree):
    def seen(*stalls):
        report = with_seen(scan_path(tree, Settings(min_confidence="likely"), jobs=1), stalls)
        told = {one.kind: (one.seen, round(one.seen_seconds, 3)) for one in report.findings}
        return report, told

    return seen


def test_a_stall_belongs_to_the_call_that_leads_to_it(tree, found):
    through = stall(tree, [("app.py", 11), ("store.py", 5)], "blocking-db", 0.3)
    report, told = found(through, through)
    assert told == {"blocking-db": (2, 0.6), "blocking-sleep": (0, 0.0)}
    assert report.counts["stalls_unexplained"] == 0
    assert report.findings[0].kind == "blocking-db"  # it hurt


def test_seconds_go_to_the_lines_that_took_them(tree, found):
    both = stall(
        tree,
        [("app.py", 11), ("store.py", 5)],
        "blocking-db",
        1.0,
        {("store.py", 5): 0.7, ("app.py", 7): 0.3},
    )
    assert found(both)[1] == {"blocking-db": (1, 0.7), "blocking-sleep": (1, 0.3)}


def test_the_same_line_of_another_file_is_another_line(tree, found):
    elsewhere = stall(tree / "old", [("app.py", 7)], "blocking-sleep", 0.2)
    report, told = found(elsewhere)
    assert told == {"blocking-sleep": (0, 0.0), "blocking-db": (0, 0.0)}
    assert report.counts["stalls_unexplained"] == 1
    assert [*sentences(report)] == [
        "2 more findings of the scan, at which this run did not stall.",
        "1 stall at no line of a finding.",
    ]


def test_the_text_says_what_was_seen(tree, tmp_path, capsys):
    run = tmp_path / "run.json"
    run.write_text(
        json.dumps({"loops": [{"stalls": [stall(tree, [("app.py", 7)], "blocking-sleep", 0.2)]}]})
    )
    assert main(["scan", str(tree), "--seen", str(run)]) == 0
    text = capsys.readouterr().out
    assert "app.py:7:5  certain, heavy, seen 1 time, 200 ms, lesson 01" in text
    assert "app.py:11:12  certain, heavy, no stall seen" in text


@pytest.mark.parametrize("text", ["{}", "[]", "no", '{"loops": [{}]}'])
def test_a_file_that_is_no_report_of_a_run(tree, tmp_path, capsys, text):
    (tmp_path / "run.json").write_text(text)
    assert main(["scan", str(tree), "--seen", str(tmp_path / "run.json")]) == 2
    assert "run --json" in capsys.readouterr().err
