"""Every verdict many times, on an idle machine and with another core busy: `make prove`.

`LOOPCLINIC_PROVE=3` takes three repeats instead of twenty.
"""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from loopclinic.checks.checking import check_lesson

REPEATS = int(os.environ.get("LOOPCLINIC_PROVE", "20"))
_BURN = "while True: pass"


@contextmanager
def busy_core():
    burner = subprocess.Popen([sys.executable, "-c", _BURN])
    try:
        yield
    finally:
        burner.kill()
        burner.wait()


@contextmanager
def idle_core():
    yield


@pytest.mark.prove
@pytest.mark.timeout(40 * REPEATS)
@pytest.mark.parametrize("machine", [idle_core, busy_core], ids=["idle", "busy"])
def test_every_verdict_holds(case, machine):
    with machine():
        for repeat in range(REPEATS):
            verdict = check_lesson(case.lesson, file=case.file, seed=repeat)
            found = (verdict.status, verdict.conflict)
            wanted = ("passed" if case.passes else "not-yet", case.conflict)
            assert found == wanted, f"repeat {repeat}: {verdict}"
