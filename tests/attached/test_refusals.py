"""What is said where a process can't be read: ten kinds of refusal, each its sentence."""

import os
import shutil
import struct
import subprocess
import sys

import pytest

from loopclinic.attached import remote_process, rights
from loopclinic.attached.attach_doctor import rows
from loopclinic.attached.elf import Elf, ElfError
from loopclinic.attached.remote_process import RemoteProcess
from loopclinic.attached.rights import AttachError
from tests.attached.targets import target


def refusal(pid):
    with pytest.raises(AttachError) as caught:
        RemoteProcess(pid)
    return caught.value.kind, str(caught.value)


@pytest.fixture
def sleeper():
    """A process that is no Python."""
    process = subprocess.Popen([shutil.which("sleep"), "100"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def free():
    with target("idle") as process:
        yield process


def test_a_process_that_is_not_there(attach):
    process = subprocess.Popen(["true"])
    process.wait()
    assert refusal(process.pid)[0] == "gone"
    status, _, err = attach("--once", process.pid)
    assert (status, err) == (2, f"loopclinic: there is no process {process.pid}.\n")


def test_a_process_that_has_ended_and_is_not_collected():
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    kind, sentence = refusal(process.pid)
    process.wait()
    assert kind == "gone"
    assert "its parent has not collected it" in sentence


def test_a_process_without_python(sleeper):
    kind, sentence = refusal(sleeper.pid)
    assert kind == "no-python"
    assert "(sleep) runs no CPython" in sentence


def test_pypy(sleeper, monkeypatch):
    found = [("/opt/pypy3/bin/libpypy3.11-c.so", 0)]
    monkeypatch.setattr(remote_process, "_mapped", lambda *_: iter(found))
    kind, sentence = refusal(sleeper.pid)
    assert kind == "implementation"
    assert "PyPy" in sentence


def test_this_process():
    kind, sentence = refusal(os.getpid())
    assert kind == "itself"
    assert "loopclinic.Scope" in sentence


def test_another_system(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    kind, sentence = refusal(1)
    assert kind == "system"
    assert "loopclinic run" in sentence
    assert next(row for row in rows(None) if row.good is False).sentence == sentence


@pytest.mark.parametrize(
    ("number", "word"), [(0x030A0DF0, "3.10.13"), (0x031001F0, "newer than this loopclinic")]
)
def test_another_version(free, monkeypatch, number, word):
    read = remote_process.Memory.word
    process = RemoteProcess(free.pid)
    process.close()
    version = struct.unpack("<Q", struct.pack("<Q", sys.hexversion))[0]
    monkeypatch.setattr(
        remote_process.Memory,
        "word",
        lambda self, at: number if (found := read(self, at)) == version else found,
    )
    kind, sentence = refusal(free.pid)
    assert kind == "version"
    assert word in sentence


def test_a_program_of_32_bits(free, monkeypatch):
    def narrow(path):
        raise ElfError(narrow=True)

    monkeypatch.setattr(remote_process, "Elf", narrow)
    kind, sentence = refusal(free.pid)
    assert kind == "32-bit"
    assert "32 bits" in sentence


def test_the_head_of_a_file_of_32_bits_is_known(tmp_path):
    (tmp_path / "narrow").write_bytes(b"\x7fELF\x01\x01" + bytes(100))
    with pytest.raises(ElfError) as caught:
        Elf(str(tmp_path / "narrow"))
    assert caught.value.narrow


def test_a_free_threaded_python(free, monkeypatch):
    if sys.version_info < (3, 13):
        monkeypatch.setattr(remote_process, "PUBLISHED", sys.version_info[:2])
        monkeypatch.setattr(remote_process, "published_size", lambda _: 8)
        monkeypatch.setattr(remote_process, "published", lambda *_: None)
    monkeypatch.setattr(remote_process, "published_offsets", lambda *_: {"free_threaded": 1})
    kind, sentence = refusal(free.pid)
    assert kind == "free-threaded"
    assert "free-threaded" in sentence


def test_a_python_that_has_not_started(free, monkeypatch):
    read = remote_process.Memory.word
    process = RemoteProcess(free.pid)
    process.close()
    head = process.runtime + process.at.interpreters
    monkeypatch.setattr(
        remote_process.Memory, "word", lambda self, at: 0 if at == head else read(self, at)
    )
    assert refusal(free.pid)[0] == "moment"


OTHER = 12345  # a user


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ((OTHER, 0, False, False), "user", "belongs to user 12345"),
        ((1000, 1, False, False), "ptrace-scope", "sudo sysctl kernel.yama.ptrace_scope=0"),
        ((1000, 2, False, False), "ptrace-scope", "sudo loopclinic attach 77"),
        ((1000, 3, True, False), "ptrace-scope", "until this machine starts"),
        ((1000, 0, False, True), "container", "--cap-add SYS_PTRACE"),
        ((1000, 0, False, False), "protected", "PR_SET_DUMPABLE"),
        ((1000, 0, True, False), "kernel", "SELinux or AppArmor"),
    ],
)
def test_rights_that_are_missing(monkeypatch, given, kind, words):
    owner, scope, traces, container = given
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(rights, "owner_of", lambda _: owner)
    monkeypatch.setattr(rights, "ptrace_scope", lambda: scope)
    monkeypatch.setattr(rights, "may_trace", lambda: traces)
    monkeypatch.setattr(rights, "in_container", lambda: container)
    found = rights.refused(77)
    assert found.kind == kind
    assert words in str(found)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="takes two users: root")
def test_the_kernel_refuses_a_process_of_another_user(free):
    """A child that has given up root is asked for what the kernel says to it."""
    asked = (
        "import os, sys; os.setgid(65534); os.setuid(65534)\n"
        "from loopclinic.cli.main import main\n"
        f"sys.exit(main(['attach', '--once', '{free.pid}']))"
    )
    places = os.pathsep.join(path for path in sys.path if path)
    # The packages may lie where that user can't look, so all that it imports is imported before.
    first = "import loopclinic.cli.attach, loopclinic.cli.main, encodings.idna, pwd\n"
    done = subprocess.run(
        [sys.executable, "-c", first + asked],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": places},
        check=False,
    )
    assert done.returncode == 2
    assert f"process {free.pid} belongs to user root (0)" in done.stderr


def test_the_doctor_tells_of_a_process_that_can_be_read(free, attach):
    status, out, _ = attach("--doctor", free.pid)
    assert status == 0
    assert "1 event loop found" in out


def test_the_doctor_tells_what_is_missing(sleeper, attach):
    status, out, _ = attach("--doctor", sleeper.pid)
    assert status == 2
    assert " no no-python" in out
