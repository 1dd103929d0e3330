"""`loopclinic uninstall`: removes what the kit keeps, and nothing else."""

import io
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from loopclinic.cli import uninstall
from loopclinic.cli.main import main
from loopclinic.paths import kit_root, state_dir
from loopclinic.servers import FaultyUpstream


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    # Not the one that tests share a database in: what is here is going to be removed.
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path / "state"))
    cache = tmp_path / "cache" / "loopclinic"
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(cache))
    # Servers of tests that run beside this one are not this one's to end.
    monkeypatch.setattr(uninstall, "running_servers", list)
    return cache


@pytest.fixture
def kept(_own_cache):
    (state_dir() / "progress.json").write_text("{}")
    (_own_cache / "uv").mkdir(parents=True)
    (_own_cache / "uv" / "uv").write_bytes(b"x" * 2_000_000)
    return [state_dir(), _own_cache]


def test_it_removes_state_and_cache_and_says_so(kept, capsys):
    assert main(["uninstall", "--yes"]) == 0
    printed = capsys.readouterr().out
    for folder in kept:
        assert f"removed: {folder}" in printed
        assert not folder.exists()
    assert "2.0 MB" in printed
    assert str(kit_root()) in printed
    assert (kit_root() / "labs").is_dir()


@pytest.mark.parametrize(
    ("answer", "gone"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_it_asks(kept, monkeypatch, answer, gone):
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert main(["uninstall"]) == (0 if gone else 1)
    assert all(folder.exists() is not gone for folder in kept)


def test_a_state_folder_that_holds_more_is_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert main(["uninstall", "--yes"]) == 2
    said = capsys.readouterr().err
    assert f"Nothing was removed, because {tmp_path} holds your home folder." in said
    assert "Delete only loopclinic's own files in it" in said
    assert (tmp_path / "home").is_dir()


@pytest.mark.parametrize("folder", [Path.home(), Path.cwd(), kit_root(), Path("/")])
def test_precious_folders(folder):
    assert uninstall.precious(folder).startswith("holds")


def test_a_server_is_found_and_ended(monkeypatch, tmp_path):
    monkeypatch.undo()  # the real search, for a process of this test's own
    package = tmp_path / "loopclinic" / "servers"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package.parent / "__init__.py").write_text("")
    (package / "trial.py").write_text("import time\ntime.sleep(60)\n")
    upstream = FaultyUpstream()
    with upstream:
        assert upstream._process.pid in uninstall.running_servers()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    server = subprocess.Popen([sys.executable, "-m", "loopclinic.servers.trial"], cwd=tmp_path)
    try:
        found = uninstall.running_servers()
        assert server.pid in found
        assert bystander.pid not in found
        assert uninstall.end(server.pid)
        assert not psutil.pid_exists(server.pid)
        assert not uninstall.end(server.pid)
        assert psutil.pid_exists(bystander.pid)
    finally:
        for process in (server, bystander):
            process.kill()
            process.wait()
