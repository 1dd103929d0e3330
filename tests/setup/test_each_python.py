"""The proof on each Python: what it finds, what it says, and what it leaves on the machine."""

import os
import subprocess
import sys

import debian
import each_python
import pytest


def test_this_python_is_found():
    own = "{}.{}".format(*sys.version_info)
    python, full = each_python.find(own)
    shown = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout
    assert shown == f"Python {full}\n"
    assert full.startswith(f"{own}.")


def test_a_python_that_is_not_there_is_not_found():
    assert each_python.find("3.99") is None


def prove(tmp_path, *, statuses=None, tested=False):
    """Prove a Python whose commands do nothing but end with the status that is wanted here."""
    ran = []

    def run(command):
        ran.append(command)
        shipped = command[-2:] == ["check", each_python.LAB]
        return (statuses or {}).get(len(ran), 1 if shipped else 0)

    place = each_python.Place("here", tmp_path, run)
    return each_python.prove(place, "python3.99", "3.99.1", tested=tested), ran


def test_all_is_well_when_the_shipped_lab_fails_and_its_solution_passes(tmp_path):
    (tmp_path / "build").mkdir()
    report = '<testsuites><testsuite tests="9" failures="0" errors="0" skipped="2"/></testsuites>'
    (tmp_path / "build/tests-3.99.1.xml").write_text(report)
    proof, ran = prove(tmp_path)
    assert not proof.failed
    assert proof.row()[:-1] == (
        "3.99.1",
        "here",
        "7 passed, 2 skipped",
        "ran",
        "fails, rightly",
        "passes",
    )
    assert [command[1] for command in ran if command[0] == "make"] == ["setup", "gallery", "test"]


@pytest.mark.parametrize(
    ("step", "status", "said"),
    [
        (1, 2, "SET-UP FAILED"),
        (2, 1, "FAILED"),
        (3, 0, "WRONG VERDICT"),
        (3, 2, "WRONG VERDICT"),
        (4, 1, "WRONG VERDICT"),
        (5, 2, "DID NOT RUN"),
    ],
)
def test_each_step_can_fail_the_proof(tmp_path, step, status, said):
    proof, ran = prove(tmp_path, statuses={step: status})
    assert proof.failed
    assert said in proof.row()
    assert len(ran) == (1 if step == 1 else 5)


def test_tests_that_ran_before_are_not_run_again(tmp_path):
    proof, ran = prove(tmp_path, tested=True)
    assert not proof.failed
    assert proof.tests == "all passed before"
    assert "test" not in [command[1] for command in ran]


def test_failed_tests_are_counted(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite tests="9" failures="2" errors="1" skipped="2"/></testsuites>'
    )
    assert each_python.counts(report) == "3 FAILED, 4 passed, 2 skipped"


def test_what_can_not_be_had_is_said_and_is_no_failure(monkeypatch, tmp_path, capsys):
    def unavailable():
        raise debian.UnavailableError("no such machine")

    monkeypatch.setattr(each_python, "debian_unstable", unavailable)
    monkeypatch.setattr(each_python, "find", lambda _: None)
    table = tmp_path / "new" / "table.txt"
    assert each_python.main(["3.15", "--table", str(table)]) == 0
    line = "3.15    not proved: not on this machine, and no such machine\n"
    assert line in table.read_text(encoding="utf-8")
    assert "Python 3.15 is not on this machine, and no such machine: not proved" in (
        capsys.readouterr().out
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize(
    ("account", "system", "named"), [(1000, "debian", "root"), (0, "fedora", "Debian's keys")]
)
def test_only_root_on_debian_can_have_debian_unstable(monkeypatch, account, system, named):
    monkeypatch.setattr(os, "geteuid", lambda: account)
    monkeypatch.setattr(debian.platform, "freedesktop_os_release", lambda: {"ID": system})
    with pytest.raises(debian.UnavailableError, match=named), debian.debian_unstable():
        pass


def test_a_folder_that_could_not_be_made_whole_is_removed(monkeypatch, tmp_path):
    def fail(command, *_):
        if "debootstrap" not in command:
            return ""
        (command[-1] / "half").write_text("")
        return "E: no network"

    monkeypatch.setattr(debian, "failure", fail)
    monkeypatch.setattr(debian.shutil, "which", lambda name: name)
    with pytest.raises(debian.UnavailableError, match=r"that works \(E: no network\)"):
        debian.bootstrap(tmp_path / "unstable")
    assert list(tmp_path.iterdir()) == []


def test_why_a_command_failed_is_its_last_line():
    assert debian.failure([sys.executable, "-c", ""]) == ""
    assert (
        debian.failure([sys.executable, "-c", "print(1, flush=True); raise SystemExit('no way')"])
        == "no way"
    )
    assert debian.failure([sys.executable, "-c", "raise SystemExit(7)"]) == "exit status 7"
    assert "no-such-program" in debian.failure(["no-such-program"])


def test_settings_lose_the_folders_of_this_machine(tmp_path):
    inside, certificate = tmp_path / "inside", tmp_path / "certificate"
    certificate.write_text("mine")
    settings = {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_EXTRA_INDEX_URL": f"file://{tmp_path} https://other.example/simple",
        "PIP_FIND_LINKS": str(tmp_path),
        "PIP_CERT": str(certificate),
        "SSL_CERT_FILE": str(tmp_path / "missing"),
    }
    assert debian.reachable(inside, settings) == {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://other.example/simple",
        "PIP_CERT": str(certificate),
    }
    assert (inside / certificate.relative_to("/")).read_text() == "mine"


def test_a_file_is_not_brought_through_a_link(tmp_path):
    inside, mine, precious = tmp_path / "inside", tmp_path / "mine", tmp_path / "precious"
    mine.write_text("mine")
    precious.write_text("precious")
    target = inside / mine.relative_to("/")
    target.parent.mkdir(parents=True)
    target.symlink_to(precious)
    assert debian.bring(inside, mine)
    assert (target.read_text(), precious.read_text()) == ("mine", "precious")


def test_pips_files_are_read_as_variables(monkeypatch, tmp_path):
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex-url = https://mirror.example/simple\n[install]\nprefer-binary = true\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    found = debian.pip_settings()
    assert found["PIP_INDEX_URL"] == "https://mirror.example/simple"
    assert found["PIP_PREFER_BINARY"] == "true"


def test_variables_win_over_pips_files(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://own.example/simple")
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    monkeypatch.setenv("LOOPCLINIC_HOME", "/mine")
    monkeypatch.setattr(debian, "pip_settings", lambda: {"PIP_INDEX_URL": "x", "PIP_ONE": "y"})
    found = debian.network_settings()
    assert found["PIP_INDEX_URL"] == "https://own.example/simple"
    assert found["PIP_ONE"] == "y"
    assert found["https_proxy"] == "http://proxy.example"
    assert "LOOPCLINIC_HOME" not in found


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_folder_with_a_mount_below_it_stays(monkeypatch, tmp_path):
    kept, gone = tmp_path / "kept one", tmp_path / "gone"
    kept.mkdir()
    gone.mkdir()
    escaped = str(kept / "proc").replace(" ", r"\040")
    line = f"36 25 0:5 / {escaped} rw - proc proc rw\n"
    monkeypatch.setattr(debian.Path, "read_text", lambda *_, **__: line)
    with pytest.raises(debian.UnavailableError, match="kept one/proc is mounted: unmount it"):
        debian.remove(kept)
    debian.remove(gone)
    assert list(tmp_path.iterdir()) == [kept]
