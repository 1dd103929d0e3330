"""docs/claims.md: what benchmarks/claims.py writes, with a lesson, a benchmark and a figure for each claim."""

import re
from pathlib import Path

import pytest

from loopclinic.import_path import imported
from loopclinic.lessons import lessons

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/claims.md"
generator = imported(ROOT / "benchmarks/claims.py", "claims_generator")
BENCHMARKS = {
    one.number: file
    for one in lessons()
    if (file := ROOT / f"benchmarks/{one.stem}.py").exists() and generator.claims(file)
}


def test_the_page_is_what_the_generator_writes():
    text = PAGE.read_text("utf-8")
    assert generator.page(generator.kept(text)) == text, "run: python benchmarks/claims.py"


def test_each_lesson_tests_a_claim():
    assert set(BENCHMARKS) == {f"{number:02}" for number in range(1, 15)}


def test_a_claim_stands_under_its_lesson_and_benchmark_once_with_a_figure():
    sections = re.split(r"^## (?=\d\d )", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert [one[:2] for one in sections] == sorted(BENCHMARKS)
    for section in sections:
        file = BENCHMARKS[section[:2]]
        assert f"`python benchmarks/{file.name}`: 20" in section, "it was never measured"
        for one in generator.claims(file):
            assert section.count(f"**{one.said}** {one.shows}\n\n```text\n") == 1
            assert one.shows.endswith((".", ":"))
    assert generator.NOTHING not in PAGE.read_text("utf-8")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A folder with one benchmark, of lesson 05."""
    (tmp_path / "claims.py").write_text((ROOT / "benchmarks/claims.py").read_text("utf-8"))
    file = tmp_path / "sequential_awaits.py"
    file.write_text(
        "from claims import claim\n"
        "print('Before')\n"
        "claim('\"twice as fast\"', 'Half of it.')\n"
        "print('1.0 x  ')\nprint('two lines')\n"
        "print('\\nAfter')\n"
        "claim('Another', 'No figure.')\n"
    )
    monkeypatch.setattr(generator, "FOLDER", tmp_path)
    return file


def test_what_is_measured_of_a_claim_ends_at_an_empty_line(bench, monkeypatch):
    monkeypatch.setattr(generator.os, "getloadavg", lambda: (0.1, 0, 0))
    when, figures = generator.measure(bench.stem)
    assert figures == {'"twice as fast"': "1.0 x\ntwo lines", "Another": ""}
    assert re.fullmatch(r"20\d\d-\d\d-\d\d, \d+ cores, CPython 3[.\d]+, \w+\.", when)
    monkeypatch.setattr(generator.os, "getloadavg", lambda: (2.0, 0, 0))
    assert generator.measure(bench.stem)[0].endswith(", while other programs ran.")


def test_the_page_keeps_what_was_measured(bench):
    measured = {
        bench.stem: ("2030-05-01.", {'"twice as fast"': "1.0 x\ntwo lines", "Another": "0"})
    }
    text = generator.page(measured)
    assert generator.kept(text) == measured
    assert "**Another** No figure.\n\n```text\n0\n```" in text
    assert generator.page({}).count(generator.NOTHING) == 3
