"""Fixtures of all tests: a private state folder, so that nobody's progress is read or written."""

import contextlib
import gc
import itertools
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

pytest_plugins = ["tests.alone", "tests.proving"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell's background job inherits it: children of tests would not hear the Ctrl-C they are sent.
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # while tests are collected: all that this makes is kept, and a fifth of it was looking for garbage


@pytest.hookimpl(tryfirst=True)  # also in the process that only hands out tests, and collects none
def pytest_runtestloop():
    gc.enable()


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items):
    """Leave to `make prove` the rows of a test beyond those that `make test` has time for."""
    seen = Counter()
    for item in items:
        if mark := item.get_closest_marker("rows"):
            test = item.nodeid.partition("[")[0]
            seen[test] += 1
            if seen[test] > mark.args[0]:
                item.add_marker("prove")


@pytest.fixture(scope="session")
def session_postgres():
    """The state folder of PostgreSQL that tests share: making a template takes a second and 25 MB.

    Not below pytest's own folder: that is closed to the account that root runs servers as.
    """
    with tempfile.TemporaryDirectory(prefix="loopclinic-test-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        (home / "postgres").mkdir(mode=0o711)
        yield home / "postgres"
        if any((home / "postgres").iterdir()):
            from loopclinic.servers.postgres import remove

            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("LOOPCLINIC_HOME", folder)
                remove()


@pytest.fixture(scope="session")
def _homes(tmp_path_factory):
    """State folders of all tests: each `mktemp` would look through those of the tests before."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_state(_homes, monkeypatch, session_postgres):
    home = next(_homes)
    home.mkdir(0o700)
    with contextlib.suppress(OSError):  # Windows may not let us
        (home / "postgres").symlink_to(session_postgres)
    monkeypatch.setenv("LOOPCLINIC_HOME", str(home))
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture
def pytester(pytester, monkeypatch):
    """Pytest's own; what a suite run in this process imports stays, but for the suite's own files.

    A library of which a part is imported anew does not know its other part: httpx made a connection a call.
    """

    def forget_suite(_snapshot):
        for name, module in [*sys.modules.items()]:
            if str(getattr(module, "__file__", None)).startswith(str(pytester.path)):
                del sys.modules[name]

    monkeypatch.setattr("_pytest.pytester.SysModulesSnapshot.restore", forget_suite)
    return pytester


@pytest.fixture(autouse=True)
def _young_heap():
    """No collection has to look through what earlier tests have left: that stalls a loop for a second."""
    gc.freeze()
    yield
    gc.unfreeze()
