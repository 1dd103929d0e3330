"""Fixtures that check a harmful lab and verify that nothing outside its process was affected."""

import os
import tempfile
import threading
import time
import uuid

import psutil
import pytest

from loopclinic.checks import check_lesson
from loopclinic.checks.trial_processes import Limits, Shortage
from tests.checks.conftest import LESSON, REST, SOLVED, kit  # noqa: F401 - a fixture

HEAD = "import asyncio, builtins, ctypes, os, signal, subprocess, sys, threading, time\n"

HANGS = 3
"""Seconds for what never ends, from when the child is ready."""


@pytest.fixture
def judge(tmp_path, monkeypatch):
    """Judge a text; see that the file, the temporary folder and the process table are as before."""
    mark = uuid.uuid4().hex
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("LOOPCLINIC_TEST", mark)
    # What a busy machine makes of a verdict is tested where verdicts are made (tests/checks).
    monkeypatch.setattr(Shortage, "share", 0.0)
    monkeypatch.setattr(Shortage, "worst", 0.0)
    threads = set(threading.enumerate())

    def run(text: str | bytes, **limits):
        file = tmp_path / "77_tiny.py"
        data = text.encode() if isinstance(text, str) else text
        file.write_bytes(data)
        os.utime(file, (1, 1))  # an old file is not waited for
        limits = {"seconds": 12, **limits}
        started = time.monotonic()
        verdict = check_lesson(LESSON, file=file, seed=7, limits=Limits(**limits))
        assert time.monotonic() - started < limits["seconds"] + 6  # the start is not the lab's
        assert file.read_bytes() == data
        assert list(scratch.iterdir()) == []
        assert _marked(mark) == []
        for thread in set(threading.enumerate()) - threads:
            thread.join(1)
            assert not thread.is_alive()
        return verdict

    return run


def _marked(mark: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("LOOPCLINIC_TEST") == mark:
                found.append(" ".join(process.cmdline()) or process.status())
        except psutil.Error:
            continue
    return [one for one in found if one != psutil.STATUS_ZOMBIE]


def lab(body: str, before: str = "") -> str:
    """Return a tiny lab whose `double` has this body (line 4 is its first) after the line `before`."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{HEAD}{before}\nasync def double(number):\n{lines}\n{REST}"


def only_reason(verdict, *words):
    assert verdict.status == "not-yet", verdict
    assert len(verdict.reasons) == 1, verdict
    reason = verdict.reasons[0]
    assert reason.file.endswith("77_tiny.py")
    assert reason.next_step
    for word in words:
        assert word in reason.sentence, reason.sentence
    return reason
