"""Labs that never end, end the process, or take all there is: each gets a verdict in a sentence."""

import pytest

from tests.checks.conftest import SOLVED

from .conftest import HANGS, lab, only_reason


@pytest.mark.slow
def test_endless_loop(judge):
    reason = only_reason(judge(lab("while True:\n    pass"), seconds=HANGS), "stuck at line")
    assert reason.line in (4, 5)
    assert reason.budget == f"{HANGS} s"


@pytest.mark.slow
def test_endless_loop_that_holds_the_gil(judge):
    assert only_reason(judge(lab("sum(range(10**15))"), seconds=HANGS), "stuck at line 4").line == 4


@pytest.mark.slow
def test_endless_loop_at_import(judge):
    reason = only_reason(
        judge(f"while True:\n    pass\n{SOLVED}", seconds=HANGS), "stuck", "imported"
    )
    assert reason.line in (1, 2)


@pytest.mark.slow
def test_endless_await(judge):
    reason = only_reason(
        judge(lab("await asyncio.Event().wait()"), seconds=HANGS),
        "waited in vain",
        "doubling a number",
    )
    assert reason.line == 4


@pytest.mark.slow
def test_endless_busy_await(judge):
    text = lab("while True:\n    await asyncio.sleep(0)")
    assert only_reason(judge(text, seconds=HANGS)).line in (4, 5)


def test_reading_the_keyboard(judge):
    assert only_reason(judge(lab("input()")), "EOFError").line == 4


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


def test_killing_itself(judge):
    reason = only_reason(judge(lab("os.kill(os.getpid(), signal.SIGKILL)")), "signal 9")
    assert reason.line == 4


def test_a_gigabyte_of_output(judge):
    body = "for _ in range(1000):\n    print('x' * 1_000_000)"
    reason = only_reason(judge(lab(body)), "printed without end")
    assert reason.line == 5
    assert reason.budget == "50.0 MB"


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
