"""`loopclinic watch`: with a terminal and without one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.checks.conftest import SOLVED, catalogue, kit, lab, tiny  # noqa: F401 - fixtures
from tests.checks.test_watching import until

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from tiny_lesson import LESSON
from loopclinic.checks import progress
from loopclinic.cli import list_lessons
from loopclinic.lessons import catalogue
for module in (catalogue, progress, list_lessons):
    module.lessons = lambda: (LESSON,)
from loopclinic.cli.main import main
sys.exit(main(["watch", *sys.argv[2:]]))
"""
COMMAND = [sys.executable, "-c", PROGRAM, str(Path(__file__).parents[1] / "checks")]


def test_without_a_terminal_it_checks_on_every_save(lab, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    with out.open("wb") as file:
        process = subprocess.Popen(
            [*COMMAND, "77"], stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        until(lambda: "Not yet" in out.read_text(), 20)
        lab.write_text(SOLVED)
        until(lambda: "Passed" in out.read_text(), 20)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in out.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.prove
def test_keys(lab, tiny):  # noqa: F811
    import pty
    import select

    number, child = pty.openpty()
    process = subprocess.Popen(COMMAND, stdin=child, stdout=child, stderr=child)
    os.close(child)
    heard = b""

    def hear(words, seconds=20.0):
        nonlocal heard
        ends = time.monotonic() + seconds
        while words.encode() not in heard:
            assert time.monotonic() < ends, f"{words!r} was not in {heard.decode()!r}"
            if select.select([number], [], [], 0.1)[0]:
                heard += os.read(number, 65536)
        heard = heard[heard.index(words.encode()) + len(words) :]

    def press(key):
        os.write(number, key.encode())

    try:
        hear("Not yet")
        hear("q quit")
        press("h")
        hear(tiny.hints[0])
        press("l")
        hear(tiny.title)
        press("n")
        hear("the next one to pass")
        lab.write_text("# mine\n" + SOLVED)
        hear("Passed")
        press("r")
        hear("[y/n]")
        press("y")
        hear("is saved as")
        hear("Not yet")
        press("q")
        ends = time.monotonic() + 10
        while process.poll() is None:
            assert time.monotonic() < ends
            if select.select([number], [], [], 0.1)[0]:
                try:
                    os.read(number, 65536)
                except OSError:
                    break
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(number)
    assert lab.read_bytes() == tiny.shipped.read_bytes()
