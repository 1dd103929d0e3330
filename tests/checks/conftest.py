"""The tiny lesson, importable here and in the child; a state folder and a kit's root of its own."""

import os
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from tiny_lesson import LESSON  # noqa: E402


@pytest.fixture(autouse=True)
def _own_places(tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("kit")
    for name in ("labs", "notebooks", "solutions"):
        (root / name).mkdir()
    monkeypatch.setenv("LOOPCLINIC_ROOT", str(root))
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path_factory.mktemp("home")))
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", HERE if not path else f"{HERE}{os.pathsep}{path}")


@pytest.fixture
def tiny():
    return LESSON


SOLVED = LESSON.shipped.read_text().replace("time.sleep(0.1)", "await asyncio.sleep(0.01)").replace(
    "import time", "import asyncio"
)


@pytest.fixture
def solved():
    return SOLVED
