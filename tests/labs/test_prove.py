"""Every verdict many times, on an idle machine and with another core busy: `make prove`.

Twenty times each, and the rarer half-fixes of `fixes/NN/more/` five times; `LOOPCLINIC_PROVE=4`
takes four and one. One lesson: `make prove ARGS="-k 01-"`. Two at a time, which is harder on the
verdicts and takes half as long: `ARGS="-n 2"`.
"""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.labs.conftest import holds, verdict_of

REPEATS = int(os.environ.get("LOOPCLINIC_PROVE", "20"))
RARER = max(1, REPEATS // 4)
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
def test_every_verdict_holds(case, machine, tmp_path):
    repeats = RARER if case.file.parent.name == "more" else REPEATS
    file = case.laid_out(tmp_path)
    with machine():
        verdicts = [verdict_of(case.lesson, file, seed=repeat) for repeat in range(repeats)]
    wrong = [one for one in verdicts if not holds(case, one)]
    assert not wrong, f"{len(wrong)} of {repeats}:\n" + "\n".join(map(str, wrong))
