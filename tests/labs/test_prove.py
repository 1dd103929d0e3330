"""Every verdict live, on an idle machine and with a core kept busy: `make prove`.

Each submission once on each; the solutions and the labs as shipped five times, each with another seed.
One lesson: `make prove ARGS="-k 01-"`.
"""

import contextlib
import subprocess
import sys

import pytest

from tests.labs.recorded import SUBMISSIONS, to_dict

REPEATED = {"shipped": 5, "solution": 5}
BURNER = """
import os
owner = os.getppid()
while os.getppid() == owner:
    pass
"""
"""Keeps a core busy for as long as the process that started it lives, however that ends."""


def pytest_generate_tests(metafunc):
    cases = [
        pytest.param(one, machine, seed, id=f"{name}-{machine}-{seed}")
        for name, one in SUBMISSIONS.items()
        for machine in ("idle", "busy")
        for seed in range(1, 1 + REPEATED.get(one.stem, 1))
    ]
    if "submission" in metafunc.fixturenames:
        metafunc.parametrize(("submission", "machine", "seed"), cases)


@contextlib.contextmanager
def kept_busy(processes):
    burners = [subprocess.Popen([sys.executable, "-c", BURNER]) for _ in range(processes)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@pytest.mark.prove
def test_live_verdict(submission, machine, seed, live):
    with kept_busy(1 if machine == "busy" else 0):
        verdict = live(submission, machine, seed)
    assert submission.agrees(to_dict(verdict)), str(verdict)
    assert verdict.seconds < max(30.0, submission.lesson.deadline), str(verdict)
    assert all(reason.next_step for reason in verdict.reasons), str(verdict)
