"""`loopclinic attach --once` on programs whose state is known, on each Python that this machine has."""

import multiprocessing

import pytest

from tests.attached.programs import PROGRAMS
from tests.attached.targets import pythons, target

SOME = ("sleep", "a_lock", "idle", "a_busy_loop")
"""Those of `make test`; all of them are proved."""


@pytest.mark.alone
@pytest.mark.parametrize("name", SOME)
def test_a_program_is_told_as_it_is(name, answers_rightly):
    with target(name) as process:
        answers_rightly(name, process)


CASES = [
    pytest.param(name, version, id=f"{name}-{version[0]}.{version[1]}")
    for version in pythons()
    for name, (_, _, _, since) in PROGRAMS.items()
    if version >= since
]


@pytest.mark.prove
@pytest.mark.parametrize(("name", "version"), CASES)
def test_every_program_is_told_as_it_is_on_every_python(name, version, answers_rightly):
    with target(name, pythons()[version]) as process:
        if process is None:
            pytest.skip("this Python has no uvloop")
        answers_rightly(name, process)


def spin():
    while True:
        pass


@pytest.mark.prove
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_is_told_as_it_is_under_load(name, answers_rightly):
    hogs = [multiprocessing.get_context("spawn").Process(target=spin) for _ in range(4)]
    for hog in hogs:
        hog.start()
    try:
        with target(name) as process:
            if process is None:
                pytest.skip("this Python is too old for it, or has no uvloop")
            answers_rightly(name, process)
    finally:
        for hog in hogs:
            hog.kill()
            hog.join()
