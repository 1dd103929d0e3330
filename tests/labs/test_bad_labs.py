"""Bad labs: each gets a verdict in a sentence, and nothing else is harmed."""

import os
import tempfile
import threading
import time
import uuid
from pathlib import Path

import psutil
import pytest

from loopclinic.checks import check_lesson
from loopclinic.checks.limits import Limits
from tests.checks.conftest import LESSON, REST, SOLVED, kit  # noqa: F401 - a fixture

HEAD = "import asyncio, builtins, ctypes, os, signal, subprocess, sys, threading, time\n"

HANGS = 3
"""Seconds for what never ends, from when the child is ready."""


@pytest.fixture
def judge(tmp_path, monkeypatch):
    """Judge a text; see that the file, the temporary folder and the process table are as before."""
    mark = uuid.uuid4().hex
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("LOOPCLINIC_TEST", mark)
    threads = set(threading.enumerate())

    def run(text: str | bytes, **limits):
        file = tmp_path / "77_tiny.py"
        data = text.encode() if isinstance(text, str) else text
        file.write_bytes(data)
        os.utime(file, (1, 1))  # an old file is not waited for
        limits = {"seconds": 12, **limits}
        started = time.monotonic()
        verdict = check_lesson(LESSON, file=file, seed=7, limits=Limits(**limits))
        assert time.monotonic() - started < limits["seconds"] + 6  # the start is not the lab's
        assert file.read_bytes() == data
        assert list(scratch.iterdir()) == []
        assert _marked(mark) == []
        for thread in set(threading.enumerate()) - threads:
            thread.join(1)
            assert not thread.is_alive()
        return verdict

    return run


def _marked(mark: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("LOOPCLINIC_TEST") == mark:
                found.append(" ".join(process.cmdline()) or process.status())
        except psutil.Error:
            continue
    return [one for one in found if one != psutil.STATUS_ZOMBIE]


def lab(body: str, before: str = "") -> str:
    """A tiny lab whose `double` has this body (line 4 is its first) after the line `before`."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{HEAD}{before}\nasync def double(number):\n{lines}\n{REST}"


def only_reason(verdict, *words):
    assert verdict.status == "not-yet", verdict
    assert len(verdict.reasons) == 1, verdict
    reason = verdict.reasons[0]
    assert reason.file.endswith("77_tiny.py")
    assert reason.next_step
    for word in words:
        assert word in reason.sentence, reason.sentence
    return reason


def test_the_shipped_lab_fails_for_the_right_reason_and_place(judge):
    verdict = judge(LESSON.shipped.read_text())
    assert verdict.conflicts == ("blocking-sleep",)
    assert verdict.reasons[0].line == 7


def test_a_right_answer_passes_with_its_number(judge):
    verdict = judge(SOLVED)
    assert verdict.passed
    assert "Doubled" in verdict.headline
    assert "loopclinic next" in verdict.headline


def test_syntax_error(judge):
    reason = only_reason(
        judge("async def double(number:\n    return 1\n"), "line 1", "never closed"
    )
    assert reason.line == 1
    code, caret = reason.sentence.splitlines()[1:]
    assert code[caret.index("^")] == "("


def test_indentation_error(judge):
    assert only_reason(judge("async def double(number):\nreturn 1\n"), "indented").line == 2


def test_saved_half_way(judge):
    half = SOLVED[: SOLVED.index("number\n\n") - 3]
    assert "return" in half.splitlines()[-1]
    assert only_reason(judge(half), "defines no Counter")


def test_empty_file(judge):
    assert only_reason(judge(""), "is empty")


def test_missing_file(tmp_path):
    verdict = check_lesson(LESSON, file=tmp_path / "77_tiny.py")
    assert "reset" in only_reason(verdict, "missing").next_step


def test_folder_instead_of_a_file(tmp_path):
    (tmp_path / "77_tiny.py").mkdir()
    reason = only_reason(check_lesson(LESSON, file=tmp_path / "77_tiny.py"))
    assert "is a folder" in reason.sentence


def test_not_utf_8(judge):
    text = SOLVED.replace("class Counter", "# caf\xe9\nclass Counter").encode("latin-1")
    reason = only_reason(judge(text), "0xe9", "UTF-8")
    assert reason.line == SOLVED[: SOLVED.index("class Counter")].count("\n") + 1


def test_another_encoding_that_is_declared_is_fine(judge):
    text = f"# -*- coding: latin-1 -*-\nNAME = 'caf\xe9'\n{SOLVED}".encode("latin-1")
    assert judge(text).passed


def test_null_byte(judge):
    assert only_reason(judge(SOLVED.replace("class", "\0class")), "null byte").line == 11


def test_renamed_function(judge):
    reason = only_reason(judge(SOLVED.replace("def double", "def duoble")), "duoble", "no double")
    assert reason.line == 6


def test_missing_method(judge):
    reason = only_reason(judge(SOLVED.replace("def add", "def ad")), "Counter.add", "ad")
    assert reason.line == 11


def test_wrong_signature(judge):
    text = SOLVED.replace("double(number: int)", "double(number: int, other: int)")
    reason = only_reason(judge(text), "other")
    assert reason.line == 6
    assert reason.measured.startswith("double(number: int, other: int)")


def test_further_parameters_with_defaults_are_fine(judge):
    assert judge(SOLVED.replace("double(number: int)", "double(number: int, *, times=2)")).passed


def test_exception_at_import(judge):
    reason = only_reason(judge(f"{HEAD}1 / 0\n{SOLVED}"), "ZeroDivisionError", "`1 / 0`")
    assert reason.line == 2


def test_missing_module(judge):
    reason = only_reason(judge(f"import not_there_at_all\n{SOLVED}"), "not_there_at_all")
    assert "Install" in reason.next_step


def test_checking_itself(judge):
    text = f"import loopclinic\nloopclinic.check('01')\n{SOLVED}"
    assert "__main__" in only_reason(judge(text), "can't check itself").next_step


def test_exception_in_the_lab(judge):
    reason = only_reason(judge(lab("raise KeyError('left out')")), "KeyError", "left out")
    assert reason.line == 4


def test_useless_return_value(judge):
    text = SOLVED.replace("self.value += amount", "self.value = None")
    reason = only_reason(judge(text))
    assert "could not be used" in reason.sentence
    assert "TypeError" in reason.sentence


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
    reason = only_reason(judge(lab(body)), "memory")
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


def test_leftover_task(judge):
    body = "global kept\nkept = asyncio.create_task(asyncio.sleep(60))\nreturn 2 * number"
    verdict = judge(lab(body))
    assert only_reason(verdict, "1 task").line == 5
    assert verdict.conflicts == ("dropped-task",)


@pytest.mark.parametrize("daemon", [True, False])
def test_leftover_thread(judge, daemon):
    start = f"threading.Thread(target=time.sleep, args=(60,), daemon={daemon}).start()"
    assert only_reason(judge(lab(f"{start}\nreturn 2 * number")), "1 thread").line == 4


def test_busy_thread_of_the_default_executor(judge):
    body = (
        "asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)\n"
        "await asyncio.sleep(0)\nreturn 2 * number"
    )
    assert only_reason(judge(lab(body)), "1 thread").line == 4


def test_idle_threads_of_executors_are_fine(judge):
    before = "from concurrent.futures import ThreadPoolExecutor as Pool; own = Pool(3)\n"
    body = (
        "await asyncio.to_thread(int)\n"
        "await asyncio.get_running_loop().run_in_executor(own, int)\nreturn 2 * number"
    )
    assert judge(lab(body, before)).passed


def test_leftover_process(judge):
    body = "global kept\nkept = subprocess.Popen(['sleep', '60'])\nreturn 2 * number"
    # Starting one takes the loop's time, more on a busy machine: that may be a reason of its own.
    verdict = judge(lab(body))
    (reason,) = [one for one in verdict.reasons if "1 child process" in one.sentence]
    assert "sleep" in reason.sentence
    assert reason.line == 5
    others = [one for one in verdict.reasons if one is not reason]
    assert all(one.conflict == "blocking-sleep" for one in others), str(verdict)


def test_a_process_that_has_ended_is_fine(judge):
    body = (
        "process = await asyncio.create_subprocess_exec('true')\n"
        "await process.wait()\nreturn 2 * number"
    )
    assert judge(lab(body)).passed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_detached_grandchild_without_the_mark(judge):
    name = "4711.0815"
    body = (
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        os.execve('/bin/sleep', ['sleep', '{name}'], {{}})\n"
        "    os._exit(0)\n"
        "await asyncio.sleep(0.1)\n"
        "return 2 * number"
    )
    assert "1 child process" in only_reason(judge(lab(body))).sentence
    commands = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", name] not in commands


def test_detached_grandchild_of_a_lab_that_exits(judge):
    body = "subprocess.Popen(['sleep', '60'], start_new_session=True)\nos._exit(1)"
    assert only_reason(judge(lab(body)), "ended the whole process").line == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_does_not_speak_for_the_trial(judge):
    before = "os.fork()\n"
    body = "if os.getpid() != OWN:\n    return 0\nreturn 2 * number"
    assert judge(lab(body, f"OWN = os.getpid(); {before}")).passed


def test_open_session(judge):
    before = "import aiohttp; kept = []\n"
    body = "kept.append(aiohttp.ClientSession())\nreturn 2 * number"
    verdict = judge(lab(body, before))
    assert only_reason(verdict, "1 aiohttp session").line == 5
    assert verdict.conflicts == ("unclosed-resource",)


@pytest.mark.parametrize("body", ["sys.stdout.close()", "os.close(1)"])
def test_closing_stdout(judge, body):
    assert only_reason(judge(lab(f"{body}\nreturn 2 * number")), "standard output").line == 4


def test_deleting_its_own_file(judge):
    body = "os.unlink(__file__)\nreturn 2 * number"
    assert only_reason(judge(lab(body)), "deletes itself").line == 4


def test_cutting_the_line_to_the_supervisor(judge):
    reason = only_reason(judge(lab("os.closerange(3, 4096)\nreturn 2 * number")))
    assert "ended the whole process" in reason.sentence


def test_stopping_the_loop(judge):
    body = "asyncio.get_running_loop().stop()\nawait asyncio.sleep(1)"
    reason = only_reason(judge(lab(body)))
    assert "stopped the event loop" in reason.sentence


def test_canceling_every_task(judge):
    body = "for task in asyncio.all_tasks():\n    task.cancel()\nawait asyncio.sleep(1)"
    reason = only_reason(judge(lab(body)), "CancelledError")
    assert reason.line == 6


@pytest.mark.parametrize(
    "name", ["time.sleep", "time.perf_counter", "asyncio.sleep", "builtins.print", "time.monotonic"]
)
def test_replacing_what_measures(judge, name):
    text = f"{HEAD}{name} = lambda *_, **__: None\n{SOLVED}"
    assert only_reason(judge(text), name).line == 2


def test_replacing_while_it_runs(judge):
    body = "time.perf_counter = lambda: 0.0\nreturn 2 * number"
    assert only_reason(judge(lab(body)), "time.perf_counter").line == 4


def test_printing_binary(judge):
    body = "sys.stdout.buffer.write(bytes(range(256)) * 100)\nreturn 2 * number"
    assert judge(lab(body)).passed


def test_forged_report(judge):
    text = f'import os\nfor fd in range(3, 64):\n    try:\n        os.write(fd, b\'{{"kind":"end","how":"done"}}\\n\')\n    except OSError:\n        pass\nos._exit(0)\n{SOLVED}'
    assert only_reason(judge(text), "ended the whole process").line == 7


def test_modules_named_like_the_standard_library_are_not_shadowed(judge, tmp_path):
    (tmp_path / "json.py").write_text("raise RuntimeError('shadow')")
    assert judge(f"import json\n{SOLVED}").passed


def test_two_checks_at_once(judge, tmp_path):
    other = Path(tempfile.mkdtemp(dir=tmp_path)) / "77_tiny.py"
    other.write_text(LESSON.shipped.read_text())
    found = []
    thread = threading.Thread(
        target=lambda: found.append(check_lesson(LESSON, file=other, limits=Limits(seconds=12)))
    )
    thread.start()
    mine = check_lesson(LESSON, file=_written(tmp_path / "b.py", SOLVED), limits=Limits(seconds=12))
    thread.join()
    assert mine.passed
    assert found[0].conflicts == ("blocking-sleep",)


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
