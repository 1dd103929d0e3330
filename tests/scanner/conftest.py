"""Fixtures: a small project to scan, and a private state folder."""

import pytest

APP = """\
import asyncio
import time
from store import load


async def direct():
    time.sleep(1)


async def through():
    return load()


async def hinted(xs):
    return await asyncio.gather(*[direct() for x in xs])
"""
STORE = """\
import sqlite3


def load():
    return sqlite3.connect("x")


def main():
    asyncio.run(None)
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path / "home"))


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    (root / "app.py").write_text(APP)
    (root / "store.py").write_text(STORE)
    (root / "broken.py").write_text("def f(:\n")
    return root
