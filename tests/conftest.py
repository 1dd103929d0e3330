"""Every test has a state folder of its own: nobody's progress is read or written."""

import contextlib
import gc
import tempfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def session_postgres():
    """Where the one PostgreSQL of the session keeps itself; removed with it at the end.

    Not below pytest's own folder: that is closed to the account that root runs the server as.
    """
    with tempfile.TemporaryDirectory(
        prefix="loopclinic-test-", ignore_cleanup_errors=True
    ) as folder:
        home = Path(folder)
        home.chmod(0o711)
        (home / "postgres").mkdir()
        yield home / "postgres"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LOOPCLINIC_HOME", folder)
            from loopclinic.servers.postgres_status import remove

            remove()


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory, monkeypatch, session_postgres):
    home = tmp_path_factory.mktemp("home")
    # But one server for all of them: a data folder takes a second and 40 MB.
    with contextlib.suppress(OSError):  # Windows may not let us
        (home / "postgres").symlink_to(session_postgres)
    monkeypatch.setenv("LOOPCLINIC_HOME", str(home))
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture(autouse=True)
def _young_heap():
    """No collection has to look through what earlier tests have left: that stalls a loop for a second."""
    gc.freeze()
    yield
    gc.unfreeze()


def together(nodeid: str) -> str:
    """Name what must run in one worker: what shares a JupyterLab, a kernel, or a module's fixtures."""
    if nodeid.startswith("tests/browser/"):
        return "browser"
    if "/test_runs.py::" in nodeid:
        return "notebook " + nodeid.partition("[")[2]  # one kernel, its tests follow on one another
    if "::test_verdict[" in nodeid or "::test_every_verdict_holds[" in nodeid:
        return nodeid
    return nodeid.partition("::")[0]


def pytest_collection_modifyitems(items):
    # The longest first, so that no worker is left with them at the end.
    items.sort(key=lambda item: not together(item.nodeid).startswith(("browser", "notebook ")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler.loadscope import LoadScopeScheduling

    config.option.loadscopereorder = False  # keep the order above

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return together(nodeid)

    return Together(config, log)
