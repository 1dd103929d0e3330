"""The set-up on computers that lack something."""

import ast
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import installation
import installer
import pytest

from tests.setup.conftest import ROOT, offline, set_up


def make(*words, **options):
    return subprocess.run(["make", *words], capture_output=True, text=True, check=False, **options)


def old_pythons():
    found = [shutil.which(f"python3.{minor}") for minor in range(6, 11)]
    found += map(str, sorted((Path.home() / ".pyenv" / "versions").glob("3.[6-9].*/bin/python")))
    found += map(str, sorted((Path.home() / ".pyenv" / "versions").glob("3.10.*/bin/python")))
    return [one for one in found if one and "shims" not in Path(one).parts]


def works(python):
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


@pytest.fixture
def old_python(request):
    """Return an old Python that runs: pyenv has a script for those that it has not got."""
    found = next(filter(works, request.param), None)
    return found or pytest.skip("this old Python does not start")


def test_the_entry_parses_on_old_pythons():
    source = (ROOT / "scripts" / "set_up.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))
    assert ": str" not in source


@pytest.mark.parametrize("old_python", [[one] for one in old_pythons()], indirect=True)
@pytest.mark.rows(1)
def test_an_old_python_gets_one_sentence(old_python, clone):
    done = set_up(clone, "kit", python=old_python)
    assert done.returncode == 2
    assert done.stderr.startswith("loopclinic needs Python 3.11 or newer")
    assert done.stderr.count("\n") == 1
    assert not (clone / ".venv").exists()


@pytest.fixture
def tools(tmp_path):
    """A folder with make, and what it runs, but no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("make", "sh", "echo"):
        (folder / name).symlink_to(shutil.which(name))
    return folder


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("old_python", [old_pythons()], indirect=True)
def test_make_with_only_an_old_python_says_so(old_python, clone, tools):
    (tools / "python3").symlink_to(old_python)
    done = make("setup", cwd=clone, env={"PATH": str(tools)})
    assert done.returncode != 0
    assert "loopclinic needs Python 3.11 or newer" in done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_without_any_python_says_so(clone, tools):
    done = make("lab", cwd=clone, env={"PATH": str(tools)})
    assert "No Python was found: install Python 3.11 or newer" in done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_passes_options_on():
    python = f"PYTHON={sys.executable}"
    shown = make("-n", "lab", "ARGS=--no-browser --port 8899", python, cwd=ROOT).stdout
    assert "set_up.py kit -- -m loopclinic lab --no-browser --port 8899" in shown


@pytest.mark.prove
def test_cold_and_offline_names_the_repair(clone, tmp_path):
    cold = offline(XDG_CACHE_HOME=str(tmp_path / "cold"), UV_CACHE_DIR=str(tmp_path / "cold-uv"))
    done = set_up(clone, "kit", environ=cold)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert "connect this computer to the network once, then run the same command again" in last
    assert "Traceback" not in done.stderr


def test_no_venv_and_no_pip_names_the_package(clone, tmp_path):
    for name in ("venv", "pip", "ensurepip"):
        (tmp_path / f"{name}.py").write_text("raise ImportError\n")
    bare = offline(PYTHONPATH=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cold"))
    done = set_up(clone, "kit", environ=bare)
    assert done.returncode == 2
    assert "apt install python3." in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_pip_without_ensurepip_names_the_package(monkeypatch, tmp_path):
    failed = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(installer.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(installer.SetUpError, match=r"apt install python3\.\d+-venv"):
        installer.pip_python(tmp_path)


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(clone):
    clone.chmod(0o555)
    try:
        done = set_up(clone, "kit", environ=offline())
    finally:
        clone.chmod(0o755)
    assert done.returncode == 2
    assert "clone the kit into a folder of your own" in done.stderr


def test_a_refused_write_is_one_sentence(monkeypatch, tmp_path):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(installation, "one_at_a_time", refuse)
    with pytest.raises(installer.SetUpError, match="clone the kit into a folder of your own"):
        installation.Environment(tmp_path / ".venv").prepare("kit")


def test_something_in_the_way_is_named(tmp_path):
    (tmp_path / ".venv").write_text("not a folder")
    with pytest.raises(installer.SetUpError, match=r"\.venv is in the way"):
        installation.make_folder(tmp_path / ".venv")


def test_an_interrupted_set_up_is_made_anew(monkeypatch, tmp_path):
    steps = []
    environment = installation.Environment(tmp_path / ".venv")
    environment.python.parent.mkdir(parents=True)
    environment.python.write_text("half")

    def stop(*_, **__):
        steps.append("uv")
        raise installer.SetUpError("stop here")

    monkeypatch.setattr(installation, "make_folder", steps.append)
    monkeypatch.setattr(installation, "digest", lambda _: "wanted")
    monkeypatch.setattr(installation, "ROOT", tmp_path)
    monkeypatch.setattr(installation, "fetch_uv", stop)
    with pytest.raises(installer.SetUpError, match="stop here"):
        environment.prepare("kit")
    assert steps == [environment.folder, "uv"]


def test_two_at_once_wait_for_each_other(tmp_path):
    order = []
    entered, leave = threading.Event(), threading.Event()

    def first():
        with installation.one_at_a_time(tmp_path / "lock"):
            entered.set()
            leave.wait(10)
            order.append("first")

    def second():
        with installation.one_at_a_time(tmp_path / "lock"):
            order.append("second")

    one = threading.Thread(target=first)
    one.start()
    entered.wait(10)
    two = threading.Thread(target=second)
    two.start()
    time.sleep(0.5)
    leave.set()
    one.join(10)
    two.join(10)
    assert order == ["first", "second"]


def test_another_python_gets_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(installation, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHON", "python3.99")
    assert installation.choose_folder() == tmp_path / ".venv"
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("home = /x\nversion = 3.99.1\n")
    here = "{}.{}".format(*sys.version_info)
    assert installation.choose_folder() == tmp_path / f".venv-{here}"
    monkeypatch.delenv("PYTHON")
    assert installation.choose_folder() == tmp_path / ".venv"


def test_pips_index_reaches_uv(monkeypatch):
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://mirror.example/simple")
    assert installer.with_pips_index()["UV_DEFAULT_INDEX"] == "http://mirror.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://own.example/simple")
    assert installer.with_pips_index()["UV_DEFAULT_INDEX"] == "http://own.example/simple"


@pytest.mark.skipif(os.name == "nt", reason="only a POSIX exec is told of the environment")
def test_bytecode_is_kept_in_the_environment_where_it_is_not_wanted_elsewhere(
    monkeypatch, tmp_path
):
    seen = []

    def become(python, line, environ):
        seen.append(environ)
        raise SystemExit

    monkeypatch.setattr(installation.os, "execve", become)
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    for wish in ("1", ""):
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", wish)
        with pytest.raises(SystemExit):
            installation.Environment(tmp_path / ".venv").become(["-V"])
    unwanted, free = seen
    assert "PYTHONDONTWRITEBYTECODE" not in unwanted
    assert unwanted["PYTHONPYCACHEPREFIX"] == str(tmp_path / ".venv" / "bytecode")
    assert "PYTHONPYCACHEPREFIX" not in free


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_a_second_clone_needs_no_network(clone):
    first = clone.with_name("first")
    shutil.copytree(clone, first)
    warmed = set_up(first, "kit")
    if "could not be fetched" in warmed.stderr:
        pytest.skip("no network, and a cold cache")
    assert warmed.returncode == 0, warmed.stderr
    done = set_up(clone, "kit", "--", "-m", "loopclinic", "--version", environ=offline())
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    again = set_up(clone, "kit", environ=offline())
    assert (again.returncode, again.stderr) == (0, "")  # nothing was left to do
    python = clone / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    names = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    ).stdout.lower()
    assert "jupyterlab==" in names
    for test_only in ("playwright", "mypy", "pytest-xdist"):
        assert f"{test_only}==" not in names
    moved = clone.with_name("moved")
    clone.rename(moved)
    done = set_up(
        moved, "kit", "--", "-c", "import loopclinic; print(loopclinic.__file__)", environ=offline()
    )
    assert Path(done.stdout.strip()).is_relative_to(moved)
