"""`loopclinic doctor`: what it finds, and the repair that it names."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from loopclinic.cli import doctor, doctor_checks
from loopclinic.cli.doctor_checks import Finding
from loopclinic.cli.main import main


@pytest.fixture
def only(monkeypatch):
    """Replace the examinations."""

    def install(**chosen):
        monkeypatch.setattr(doctor, "EXAMINATIONS", chosen)

    return install


def healthy():
    return Finding("one", "ok", "works")


def ill():
    return Finding("two", "to-do", "is broken", "fix it.")


@pytest.mark.prove
def test_all_well_here(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["healthy"] is True
    states = {one["name"]: one["state"] for one in found["findings"]}
    assert list(states) == list(doctor_checks.EXAMINATIONS)
    for name in ("python", "packages", "kit", "kernel", "widgets", "127.0.0.1", "state", "disk"):
        assert states[name] == "ok", name


def test_each_server_of_the_kit_is_examined():
    from loopclinic.servers import SERVICES

    assert SERVICES
    assert set(SERVICES) <= set(doctor_checks.EXAMINATIONS)


def test_what_is_broken_comes_with_its_repair(only, capsys):
    only(one=healthy, two=ill)
    assert main(["doctor"]) == 1
    printed = re.sub(" +", " ", capsys.readouterr().out)
    assert "ok one works\n" in printed
    assert "TO DO two is broken\n -> fix it.\n" in printed
    assert "1 thing to do" in printed


def test_a_note_is_no_illness(only):
    only(one=lambda: Finding("one", "note", "worth knowing"))
    assert main(["doctor"]) == 0


def test_an_examination_that_breaks_is_a_finding(only, capsys):
    def broken():
        raise OSError("no such luck")

    only(one=healthy, two=broken)
    assert main(["doctor"]) == 1
    assert "the examination itself failed: OSError: no such luck" in capsys.readouterr().out


def test_a_missing_or_old_package_is_named(monkeypatch):
    def requires(_):
        return [
            "aiohttp>=999 ; extra == 'kit'",
            "no-such-package>=1 ; extra == 'kit'",
            "x>1 ; extra == 'test'",
        ]

    monkeypatch.setattr(doctor_checks.metadata, "requires", requires)
    found = doctor_checks.examine_packages()
    assert found.state == "to-do"
    assert "but >=999 is required" in found.detail
    assert "no-such-package is missing" in found.detail
    assert "x" not in found.detail.replace("no-such", "").split()


def test_a_state_folder_that_refuses(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOOPCLINIC_HOME", str(tmp_path / "file" / "below"))
    found = doctor_checks.examine_state()
    assert found.state == "to-do"
    assert "LOOPCLINIC_HOME" in found.repair


def test_no_kit_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LOOPCLINIC_ROOT", str(tmp_path))
    found = doctor_checks.examine_kit()
    assert found.state == "to-do"
    assert "LOOPCLINIC_ROOT" in found.repair


def test_a_full_disk(monkeypatch):
    usage = shutil._ntuple_diskusage(10, 10, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert doctor_checks.examine_disk().state == "to-do"


def test_a_taken_port_is_only_a_note(monkeypatch):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(doctor_checks, "JUPYTER_PORT", taken.getsockname()[1])
        assert doctor_checks.examine_port().state == "note"


def test_no_chromium_is_only_a_note(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert doctor_checks.examine_browser().state == "note"


@pytest.mark.parametrize("value", ["disabled", "perComm"])
def test_the_comms_setting_is_read(monkeypatch, tmp_path, value):
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(tmp_path))
    folder = tmp_path / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True)
    text = f'{{\n    // a comment\n    "commsOverSubshells": "{value}"\n}}\n'
    (folder / "kernels-settings.jupyterlab-settings").write_text(text)
    assert doctor_checks.examine_comms().detail.startswith(value)


@pytest.mark.prove
def test_jupyterlab_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    found = doctor_checks.examine_jupyterlab()
    assert found.state == "ok", found
    assert not list(Path(os.environ["LOOPCLINIC_HOME"]).glob("*.json"))


@pytest.mark.parametrize(
    ("refusal", "state"), [(None, "ok"), ("Python 3.12.1 keeps its stacks elsewhere", "note")]
)
def test_who_can_have_no_witness_is_told_why(monkeypatch, refusal, state):
    monkeypatch.setattr("loopclinic.probe.witness.Witness.refusal", lambda: refusal)
    found = doctor_checks.examine_witness()
    assert found.state == state
    assert (refusal or "while they last") in found.detail
