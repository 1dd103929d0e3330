"""Labs that never end, end the process, or take all there is: each gets a verdict in a sentence."""

import sys

import pytest

from tests.checks.conftest import SOLVED

from .conftest import HANGS, lab, only_reason


def test_endless_loop(judge):
    reason = only_reason(judge(lab("while True:\n    pass"), seconds=HANGS), "stuck at line")
    assert reason.line in (4, 5)
    assert reason.budget == f"{HANGS} s"


@pytest.mark.prove
def test_endless_loop_that_holds_the_gil(judge):
    assert only_reason(judge(lab("sum(range(10**15))"), seconds=HANGS), "stuck at line 4").line == 4


@pytest.mark.prove
def test_endless_loop_at_import(judge):
    reason = only_reason(
        judge(f"while True:\n    pass\n{SOLVED}", seconds=HANGS), "stuck", "imported"
    )
    assert reason.line in (1, 2)


def test_endless_await(judge):
    reason = only_reason(
        judge(lab("await asyncio.Event().wait()"), seconds=HANGS),
        "got no further",
        "doubling a number",
    )
    assert reason.line == 4


def test_what_keeps_the_loop_again_and_again_is_named_not_what_waits_meanwhile(judge):
    body = "while True:\n    time.sleep(0.8)\n    await asyncio.sleep(0.05)"
    reason = only_reason(judge(lab(body), seconds=HANGS), "stuck", "times", "line 5")
    assert (reason.line, reason.conflict) == (5, "blocking-sleep")


def test_a_wait_after_a_brief_stall_is_named(judge):
    body = "time.sleep(0.6)\nawait asyncio.Event().wait()"
    reason = only_reason(judge(lab(body), seconds=HANGS), "got no further", "line 5 still waits")
    assert reason.conflict is None


@pytest.mark.prove
def test_endless_busy_await(judge):
    text = lab("while True:\n    await asyncio.sleep(0)")
    assert only_reason(judge(text, seconds=HANGS)).line in (4, 5)


@pytest.mark.parametrize(
    "body",
    [
        "input('name: ')",
        "sys.stdin.read()",
        "sys.stdin.readline()",
        "sys.__stdin__.buffer.read(1)",
        "list(__import__('fileinput').input([]))",
        "__import__('getpass').getpass()",
        "open(0).read()",
        "os.read(0, 1)",
        "open('/dev/stdin').readline()",
        "await asyncio.to_thread(input)",
        "await asyncio.to_thread(os.read, 0, 1)",
    ],
)
@pytest.mark.rows(2)
def test_reading_the_keyboard(judge, body):
    reason = only_reason(judge(lab(body)), "reads the keyboard", "doubling a number", body)
    assert reason.line == 4
    assert reason.conflict == (None if "to_thread" in body else "blocking-input")


def test_reading_the_keyboard_at_import(judge):
    reason = only_reason(judge(f"name = input()\n{SOLVED}"), "keyboard while it was imported")
    assert (reason.line, reason.conflict) == (1, None)


@pytest.mark.parametrize("body", ["sys.exit(3)", "raise SystemExit(3)"])
def test_sys_exit(judge, body):
    assert only_reason(judge(lab(body)), "SystemExit", "status 3").line == 4


def test_sys_exit_at_import(judge):
    assert only_reason(judge(f"import sys\nsys.exit()\n{SOLVED}"), "imported").line == 2


def test_os_exit(judge):
    reason = only_reason(judge(lab("os._exit(0)")), "ended the whole process", "status 0")
    assert reason.line == 4


def test_crash_in_c(judge):
    assert only_reason(judge(lab("ctypes.string_at(0)")), "signal 11").line == 4


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("os.killpg(os.getpgrp(), signal.SIGKILL)", "signal 9"),
        ("signal.raise_signal(signal.SIGTERM)", "signal 15"),
        ("getattr(os, '_exit')(4)", "status 4"),
        ("os.execv('/bin/false', ['false'])", "status 1"),
        ("threading.Thread(target=lambda: os.abort()).start()\ntime.sleep(9)", "signal 6"),
    ],
)
@pytest.mark.rows(2)
def test_killing_itself(judge, body, how):
    assert only_reason(judge(lab(body)), "ended the whole process", how).line == 4


def test_a_fork_that_leaves_is_no_end(judge):
    verdict = judge(lab("if not os.fork():\n    os._exit(3)\nos.wait()\nreturn 2 * number"))
    assert verdict.passed, str(verdict)


def test_a_gigabyte_of_output(judge):
    body = "for _ in range(1000):\n    print('x' * 1_000_000)"
    reason = only_reason(judge(lab(body)), "printed without end")
    assert reason.line == 5
    assert reason.budget == "50.0 MB"


@pytest.mark.prove
def test_eight_gigabytes_of_memory(judge):
    body = "kept = []\nfor _ in range(80):\n    kept.append(b'x' * 100_000_000)\nreturn 2 * number"
    # Some machines take seconds for every gigabyte that they give.
    reason = only_reason(judge(lab(body), seconds=60), "memory")
    assert reason.line in (5, 6)
    assert reason.budget == "2.0 GB"
    assert 2.0 <= float(reason.measured.split()[0]) < 4.0


def test_memory_of_a_child_process_counts(judge):
    code = "import time; kept = b'x' * 400_000_000; time.sleep(60)"
    body = f'subprocess.run([sys.executable, "-c", "{code}"])'
    reason = only_reason(judge(lab(body), memory=300_000_000), "memory")
    assert reason.budget == "300.0 MB"


def test_too_many_processes(judge):
    body = "kept = [subprocess.Popen(['sleep', '60']) for _ in range(40)]\nawait asyncio.sleep(60)"
    reason = only_reason(judge(lab(body), processes=20), "processes without end")
    assert reason.budget == "20 processes"
    assert int(reason.measured.split()[0]) > 20


@pytest.mark.skipif(sys.platform != "linux", reason="shared pages are told apart there")
def test_memory_that_forks_share_counts_once(judge):
    body = "kept = b'x' * 100_000_000\nfor _ in range(40):\n    os.fork() or time.sleep(60)\nawait asyncio.sleep(60)"
    reason = only_reason(
        judge(lab(body), memory=400_000_000, processes=20), "processes without end"
    )
    assert reason.budget == "20 processes"
