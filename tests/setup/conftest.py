"""Fixture: a copy of this clone, in a folder whose name has a space and letters beyond ASCII."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = (
    "Makefile",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "hatch_build.py",
    "requirements.lock",
    "scripts",
    "src",
)
DEAD = "http://127.0.0.1:9"
"""Nothing listens there: a proxy that is as good as no network."""


@pytest.fixture
def clone(tmp_path):
    folder = tmp_path / "a path" / "ünïcode"
    folder.mkdir(parents=True)
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy2(ROOT / name, folder / name)
    for name in ("labs", "notebooks"):
        (folder / name).mkdir()
    return folder


def offline(**more):
    """Return an environment from which no package index can be reached."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), DEAD)
    lower = {name.lower(): value for name, value in proxies.items()}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "UV_")) or name == "UV_CACHE_DIR"
    }
    return {**kept, **proxies, **lower, "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "", **more}


def set_up(clone, *arguments, environ=None, python=sys.executable):
    return subprocess.run(
        [python, "scripts/set_up.py", *arguments],
        cwd=clone,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
