"""Live view of a watched program, with and without a terminal."""

import io
import os
import re
import select
import signal
import struct
import subprocess
import sys

import pytest

from loopclinic.runner.live_view import Lines, live_view
from loopclinic.runner.program_record import Recording
from tests.runner.conftest import command, line_of
from tests.runner.test_program_record import begin, stall, tick

PROGRAM = """
import asyncio, sys, time

async def main():
    for number in range(600):
        print("line", number, sys.stdout.isatty(), sys.stderr.isatty(), flush=True)
        await asyncio.sleep(0.1)
        if number == 3:
            time.sleep(0.8)  # the line
            print("waiting", flush=True)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted once")
    time.sleep(0.3)
    sys.exit(9)
"""


def test_each_stall_is_a_line_and_a_long_one_is_told_while_it_lasts():
    out = io.StringIO()
    recording = Recording()
    lines = Lines(recording, out)

    lines.handle({"kind": "loop", "id": 1, "type": "x.Loop", "thread": "MainThread", "at": 0.0})
    for seconds in (0.9, 1.1, 1.3):
        message = {"kind": "tick", "id": 1, "at": 2.0, "lag": seconds, "utilization": 1.0}
        lines.handle({**message, "tasks": 1, "stall": stall(1.0, seconds, code="f()")})
    lines.handle({"kind": "stall", "id": 1, "stall": stall(1.0, 1.4, code="f()")})
    assert out.getvalue().splitlines() == [
        "loopclinic: still stuck after 1.10 s at app.py:7  f()",
        "loopclinic: stuck for 1.40 s at app.py:7  f()",
    ]
    assert len(recording.loops[0].stalls) == 1


def test_without_a_terminal_it_is_lines_and_quiet_is_nothing():
    for quiet, wanted in ((False, Lines), (True, object)):
        out = io.StringIO()
        with live_view(Recording(), "app.py", 0.05, quiet=quiet, stream=out) as view:
            assert isinstance(view, wanted)
            view.handle({"kind": "loop", "id": 1, "type": "x", "thread": "y", "at": 0.0})
            view.handle({"kind": "stall", "id": 1, "stall": stall()})
            view.refresh()
        assert bool(out.getvalue()) is not quiet


def test_the_foot_needs_rich_and_nothing_else_of_the_kit():
    pytest.importorskip("rich")
    code = (
        "import sys, loopclinic.cli.run, loopclinic.runner.terminal_footer; "
        "print({'anywidget', 'ipywidgets', 'matplotlib', 'aiohttp', 'psutil'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_silence_is_told_as_what_it_may_be(monkeypatch):
    pytest.importorskip("rich")
    from loopclinic.runner import terminal_footer

    written = []
    clock = [100.0]
    monkeypatch.setattr(terminal_footer, "monotonic", lambda: clock[0])
    monkeypatch.setattr(terminal_footer, "_size", lambda _: (80, 24))
    monkeypatch.setattr(terminal_footer.Footer, "_write", lambda _, text: written.append(text))
    recording = Recording()
    view = terminal_footer.Footer(recording, "app.py", 0.05, io.StringIO(), 24)
    begin(view)
    tick(view, 1.0)
    view.refresh()
    assert "the loop turns" in written[-1]
    view.refresh()
    many = len(written)
    view.refresh()
    assert len(written) == many, "what did not change is not drawn again"
    clock[0] += 2.0
    view.refresh()
    assert "NO REPORT for 2.00 s: something holds the GIL" in written[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_in_a_terminal(tmp_path):
    """The keyboard's Ctrl-C reaches the program once; its lines, and the terminal, are left whole."""
    pytest.importorskip("rich")
    import fcntl
    import pty
    import termios

    (tmp_path / "program.py").write_text(PROGRAM, "utf-8")
    pid, terminal = pty.fork()
    if not pid:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 90, 0, 0))
        os.chdir(tmp_path)
        line = command("program.py")
        os.execvpe(line[0], line, os.environ | {"TERM": "xterm-256color"})
    shown = b""
    typed = False
    try:
        while select.select([terminal], [], [], 60)[0]:
            try:
                shown += os.read(terminal, 1 << 16)
            except OSError:  # Linux' way of saying that nobody has it open any more
                break
            if not typed and b"waiting" in shown:
                os.write(terminal, b"\x03")
                typed = True
    finally:
        os.close(terminal)
        if not typed:
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = shown.decode()
    assert status == 9
    assert text.count("interrupted once") == 1
    assert "line 0 True True" in text
    assert re.search(rf"STUCK for \d+ ms at program.py:{line_of(PROGRAM)}", text)
    assert "program.py ended with status 9" in text
    kept, freed = text.rfind("\x1b[1;21r"), text.rfind("\x1b[r")
    assert 0 <= kept < freed < text.rfind("program.py ended"), "the whole terminal is given back"
