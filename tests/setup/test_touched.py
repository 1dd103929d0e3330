"""Which lessons a commit affects (`scripts/touched.py`)."""

import pytest
import touched

from loopclinic.lessons import lessons

ALL = [one.number for one in lessons() if one.shipped is not None]


@pytest.mark.parametrize(
    ("path", "numbers"),
    [
        ("src/loopclinic/lessons/sync_database/check.py", ["02"]),
        ("tests/labs/fixes/04/more/right_a.py", ["04"]),
        ("solutions/13_standardize/billing/desk.py", ["13"]),
        ("notebooks/01_blocking_sleep.ipynb", ["01"]),
        ("src/loopclinic/lessons/core/scene.py", ALL),
        ("src/loopclinic/checks/child.py", ALL),
        ("README.md", []),
        ("src/loopclinic/lessons/catalogue.py", []),
    ],
)
def test_a_file_belongs_to_its_lesson(path, numbers):
    assert touched.touched([path, "README.md"]) == numbers


def test_without_a_base_it_is_the_last_day_and_never_fewer_than_ten_commits(monkeypatch):
    asked = []

    def git(*arguments):
        asked.append(arguments)
        return {"log": "1000000\n", "rev-list": "3\n", "rev-parse": ""}[arguments[0]]

    monkeypatch.setattr(touched, "git", git)
    monkeypatch.setenv("CI_BASE", "gone")
    touched.changed()
    assert asked[-1] == ("log", "--name-only", "--format=", "-n", "10", "HEAD")
    assert ("rev-list", "--count", "--since=913600", "HEAD") in asked


def test_with_a_base_it_is_what_came_since(monkeypatch):
    asked = []

    def git(*arguments):
        asked.append(arguments)
        return "a/b.py\n\nc.py\n"

    monkeypatch.setattr(touched, "git", git)
    monkeypatch.setenv("CI_BASE", "abc")
    assert touched.changed() == {"a/b.py", "c.py"}
    assert asked[-1][-1] == "abc..HEAD"
