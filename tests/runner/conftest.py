"""Fixtures: programs written to a folder and run under `loopclinic run`."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

STALLS = """
import asyncio, time

async def main():
    await asyncio.sleep(0.05)
    time.sleep(0.3)  # the line
    await asyncio.sleep(0.35)
"""


@pytest.fixture
def watched(tmp_path):
    """Write a program and run it; the result has `review`, what `--json` wrote."""

    def run(source, *arguments, options=(), target=("program.py",), env=None):
        (tmp_path / "program.py").write_text(source, "utf-8")
        report = tmp_path / "report.json"
        report.unlink(missing_ok=True)
        done = subprocess.run(
            command(*options, "--json", report, *target, *arguments),
            cwd=tmp_path,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        review = json.loads(report.read_text("utf-8")) if report.exists() else None
        return SimpleNamespace(
            status=done.returncode, out=done.stdout, err=done.stderr, review=review
        )

    return run


def command(*arguments):
    return [sys.executable, "-m", "loopclinic", "run", *map(str, arguments)]


def line_of(source, code="# the line"):
    return 1 + next(i for i, line in enumerate(source.splitlines()) if code in line)
