"""README.md agrees with the catalogue, the commands and the measured figures."""

import re
from pathlib import Path

import pytest

from loopclinic.cli.main import COMMANDS
from loopclinic.lessons import lessons
from loopclinic.lessons.start_here.lesson_plans import ROUTES
from loopclinic.tried_pythons import tried, tried_span

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def lesson_table():
    """Build the lesson table that the README must contain."""
    rows = ["| lesson | minutes | what it is about |", "| --- | --- | --- |"]
    rows += [
        f"| [{one.number} {one.title}](notebooks/{one.name}.ipynb) | {one.minutes} | {one.summary} |"
        for one in lessons()
    ]
    return "\n".join(rows)


def test_the_lessons_are_those_of_the_catalogue():
    held = re.search(r"<!-- lessons.*?-->\n(.*?)\n<!-- end", README, re.DOTALL).group(1)
    assert held == lesson_table(), f"put this into README.md:\n{lesson_table()}"


def route_table():
    """Build the table of routes that the README must contain."""
    rows = ["| if you have, or if you say | take | minutes |", "| --- | --- | --- |"]
    rows += [
        f"| {one.name} | {', '.join(lesson.number for lesson in one.lessons)} | {one.minutes} |"
        for one in ROUTES
    ]
    return "\n".join(rows)


def test_the_routes_are_those_of_lesson_00():
    held = re.search(r"<!-- routes.*?-->\n(.*?)\n<!-- end", README, re.DOTALL).group(1)
    assert held == route_table(), f"put this into README.md:\n{route_table()}"


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)|src(?:set)?=\"([^\"]+)\"", README))
def test_links_lead_somewhere(link):
    target = "".join(link)
    assert target.startswith("https://") or (ROOT / target).exists()


def test_the_pythons_are_those_of_pyproject():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    span = tried_span(pyproject)
    where = README.partition("## Where it runs")[2]
    assert re.findall(r"\| tried, on (CPython [\d. to]+),", where) == [span]
    assert f"need git, make and Python {tried(pyproject)[0]} or newer" in README
    assert re.search(r"^\| free-threaded CPython \| not tried", where, re.MULTILINE)


def test_commands_exist():
    for name in re.findall(r"loopclinic ([a-z]+)", README):
        assert name in COMMANDS or name in {"and", "alone"}, name


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for name in re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE):
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), name
