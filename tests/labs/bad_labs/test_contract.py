"""Bad labs: each gets a verdict in a sentence, and nothing else is harmed."""

import tempfile
import threading
from pathlib import Path

import pytest

from loopclinic.checks import check_lesson
from loopclinic.checks.trial_processes import Limits
from tests.checks.conftest import LESSON, SOLVED

from .conftest import HEAD, lab, only_reason


def test_the_shipped_lab_fails_for_the_right_reason_and_place(judge):
    verdict = judge(LESSON.shipped.read_text())
    assert verdict.conflicts == ("blocking-sleep",)
    assert verdict.reasons[0].line == 11


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
    assert only_reason(judge(SOLVED.replace("class", "\0class")), "null byte").line == 15


def test_renamed_function(judge):
    reason = only_reason(judge(SOLVED.replace("def double", "def duoble")), "duoble", "no double")
    assert reason.line == 10


def test_missing_method(judge):
    reason = only_reason(judge(SOLVED.replace("def add", "def ad")), "Counter.add", "ad")
    assert reason.line == 15


def test_wrong_signature(judge):
    text = SOLVED.replace("double(number: int)", "double(number: int, other: int)")
    reason = only_reason(judge(text), "other")
    assert reason.line == 10
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


def test_a_replaced_function_that_fails_elsewhere(judge):
    body = "asyncio.all_tasks = None\nreturn 2 * number"
    assert only_reason(judge(lab(body)), "replaces asyncio.all_tasks").line == 4


def test_an_error_of_what_drives_the_lab_is_the_kits(judge):
    # The tiny check adds to what it gets, whatever that is.
    verdict = judge(SOLVED.replace("self.value += amount", "self.value = None"))
    assert verdict.status == "could-not-run"
    (reason,) = verdict.reasons
    assert "loopclinic itself failed: TypeError" in reason.sentence
    assert "report this" in reason.next_step


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
@pytest.mark.rows(2)
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
