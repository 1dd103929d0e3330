"""Every place that speaks of Python versions goes by the classifiers of pyproject.toml."""

import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata

import installation
import pytest
import set_up

from loopclinic import tried_pythons
from loopclinic.cli.doctor_checks import examine_python
from tests.setup.conftest import ROOT

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
TRIED = tried_pythons.tried(PYPROJECT)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CANDIDATES = re.search(r"^CANDIDATES = (.+)$", MAKEFILE, re.MULTILINE)[1].split()

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def test_the_classifiers_name_each_version_from_the_oldest_on():
    oldest = tomllib.loads(PYPROJECT)["project"]["requires-python"].removeprefix(">=3.")
    assert len(TRIED) >= 5
    assert [f"3.{int(oldest) + more}" for more in range(len(TRIED))] == TRIED
    assert tried_pythons.tried_span(PYPROJECT) == f"CPython {TRIED[0]} to {TRIED[-1]}"


def test_an_installed_kit_carries_them():
    assert (
        tried_pythons.tried("\n".join(metadata.metadata("loopclinic").get_all("Classifier")))
        == TRIED
    )


def test_set_up_refuses_what_pyproject_refuses():
    assert "{}.{}".format(*set_up.OLDEST) == TRIED[0]


def test_make_looks_for_each_and_then_for_any():
    assert sorted(CANDIDATES[:-2]) == sorted(f"python{version}" for version in TRIED)
    assert CANDIDATES[-2:] == ["python3", "python"]
    assert "sys.version_info < ({}, {})".format(*set_up.OLDEST) in MAKEFILE
    assert f"install Python {TRIED[0]} or newer" in MAKEFILE


def dry_run(*arguments, path):
    """Run `make --dry-run setup` with nothing but make, a shell and what is linked in `path`."""
    for name in ("make", "sh", "echo"):
        (path / name).symlink_to(shutil.which(name))
    return subprocess.run(
        ["make", "--dry-run", "setup", *arguments],
        cwd=ROOT,
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_make
@pytest.mark.parametrize("name", CANDIDATES)
def test_make_finds_the_only_python_there_is(name, tmp_path):
    (tmp_path / name).symlink_to(sys.executable)
    assert f"'{name}' scripts/set_up.py kit" in dry_run(path=tmp_path).stdout


@needs_make
def test_make_takes_a_path_with_a_space(tmp_path):
    python = tmp_path / "a path" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    shown = dry_run(f"PYTHON={python}", path=tmp_path).stdout
    assert f"'{python}' scripts/set_up.py kit" in shown


@needs_make
@pytest.mark.parametrize("name", ["no-such-python", "echo", "."])
def test_make_says_what_is_no_python(name, tmp_path):
    done = dry_run(f"PYTHON={name}", path=tmp_path)
    assert done.returncode == 2
    assert f"PYTHON={name} is no Python that starts: name a command" in done.stderr


def test_pypy_is_refused_with_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(platform, "python_implementation", lambda: "PyPy")
    monkeypatch.setenv("PYTHON", "pypy3")
    assert set_up.main() == 2
    said = capsys.readouterr().err
    assert said.startswith(f"loopclinic needs CPython {TRIED[0]} or newer, and pypy3 is PyPy 3.")
    assert said.count("\n") == 1


@pytest.fixture
def free_threaded(monkeypatch):
    """Make this Python look like a free-threaded build."""
    ask = sysconfig.get_config_var
    monkeypatch.setattr(
        sysconfig, "get_config_var", lambda name: 1 if name == "Py_GIL_DISABLED" else ask(name)
    )


def test_the_running_python_was_tried():
    assert tried_pythons.untried(PYPROJECT) is None
    assert examine_python().state == "ok"


@pytest.mark.usefixtures("free_threaded")
def test_a_free_threaded_build_is_untried():
    span = tried_pythons.tried_span(PYPROJECT)
    sentence = f"this is a free-threaded build, and the kit was tried on {span} with the GIL"
    assert tried_pythons.untried(PYPROJECT) == sentence
    found = examine_python()
    assert found.state == "note"
    assert found.detail.endswith(f"untried: {sentence}")


@pytest.mark.parametrize(
    ("implementation", "version", "named"),
    [("CPython", (3, 99), "CPython 3.99"), ("GraalVM", (3, 12), "GraalVM 3.12")],
)
def test_a_newer_or_other_python_is_untried(monkeypatch, implementation, version, named):
    monkeypatch.setattr(platform, "python_implementation", lambda: implementation)
    monkeypatch.setattr(tried_pythons.sys, "version_info", version)
    assert f"this is {named}, and the kit was tried on" in tried_pythons.untried(PYPROJECT)


def test_a_free_threaded_build_gets_a_folder_of_its_own(monkeypatch, tmp_path, request):
    monkeypatch.setattr(installation, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHON", "python3t")
    installation.make_folder(tmp_path / ".venv")
    assert installation.choose_folder() == tmp_path / ".venv"
    request.getfixturevalue("free_threaded")
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path / ".venv/lib/python3.99t"))
    own = "{}.{}t".format(*sys.version_info)
    assert installation.choose_folder() == tmp_path / f".venv-{own}"
