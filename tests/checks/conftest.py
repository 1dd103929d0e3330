"""Fixtures: the tiny lesson, importable here and in the child, and a kit root of its own."""

import os
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from tiny_lesson import LESSON  # noqa: E402

SOLVED = (
    LESSON.shipped.read_text()
    .replace("time.sleep(0.3)", "await asyncio.sleep(0.01)")
    .replace("import time", "import asyncio")
)
"""A right answer to the tiny lab."""

REST = """
class Counter:
    def __init__(self, start=0):
        self.value = start

    def add(self, amount):
        self.value += amount
"""
"""What every tiny lab needs beside `double`."""


@pytest.fixture(autouse=True)
def kit(tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("kit")
    for name in ("labs", "notebooks", "solutions"):
        (root / name).mkdir()
    monkeypatch.setenv("LOOPCLINIC_ROOT", str(root))
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", HERE if not path else f"{HERE}{os.pathsep}{path}")
    return root


def on_an_idle_machine(monkeypatch):
    """Have no verdict doubt what it measured: these tests are about the rest."""
    from loopclinic.checks.trial_processes import Shortage

    monkeypatch.setattr(Shortage, "share", 0.0)
    monkeypatch.setattr(Shortage, "worst", 0.0)


@pytest.fixture
def tiny(monkeypatch):
    on_an_idle_machine(monkeypatch)
    return LESSON


@pytest.fixture
def catalogue(monkeypatch):
    """The tiny lesson is the only one there is."""
    from loopclinic.lessons import catalogue as module

    on_an_idle_machine(monkeypatch)
    monkeypatch.setattr(module, "lessons", lambda: (LESSON,))
    for name in (
        "loopclinic.checks.progress",
        "loopclinic.cli.list_lessons",
        "loopclinic.cli.progress",
    ):
        monkeypatch.setattr(f"{name}.lessons", lambda: (LESSON,))
    return (LESSON,)


@pytest.fixture
def lab(kit):
    """The learner's tiny lab, as shipped."""
    path = kit / "labs" / "77_tiny.py"
    path.write_bytes(LESSON.shipped.read_bytes())
    (kit / "solutions" / "77_tiny.py").write_text(SOLVED)
    return path
