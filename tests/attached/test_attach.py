"""`loopclinic attach`: live lines, report, page and JSON; a scope on another process; its children."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from loopclinic.attached.attached_loop import AttachedLoop
from loopclinic.attached.remote_loops import Kept, Look, LoopReader
from loopclinic.attached.remote_process import RemoteProcess, RemoteThread
from loopclinic.attached.rights import AttachError
from loopclinic.attached.sampler import ProcessProbe, Sampler
from loopclinic.cli import attach as cli_attach
from tests.attached.programs import marked
from tests.attached.targets import target


@pytest.fixture
def stuck():
    with target("sleep") as process:
        yield process


def test_the_report_page_and_json_are_those_of_run(stuck, attach, tmp_path):
    page, report = tmp_path / "page.html", tmp_path / "report.json"
    status, out, err = attach(stuck.pid, "--seconds", 1, "--html", page, "--json", report)
    (line,) = marked("sleep")
    assert status == 0
    assert f"at programs.py:{line} `time.sleep(LONG)" in err
    assert "blocking-sleep, 11 tasks wait, lesson 01" in err
    assert "was watched, and goes on" in out
    assert "looked at from outside" in out
    found = json.loads(report.read_text("utf-8"))
    assert [(one["line"], one["conflict"], one["lesson"]) for one in found["places"]] == [
        (line, "blocking-sleep", "01")
    ]
    assert found["command"] == f"loopclinic attach --threshold 0.05 {stuck.pid}"
    assert f"programs.py:{line}" in page.read_text("utf-8")


@pytest.fixture
def once_stuck(monkeypatch):
    """Return a function that has something done as soon as the live lines tell of a stall."""

    def act(what):
        say = cli_attach._Lines.say

        def said(lines, words):
            say(lines, words)
            if "stuck for" in words:
                what()

        monkeypatch.setattr(cli_attach._Lines, "say", said)

    return act


def test_an_interrupt_ends_in_the_report(stuck, attach, once_stuck):
    once_stuck(lambda: os.kill(os.getpid(), signal.SIGTERM))
    status, out, _ = attach(stuck.pid)
    assert status == 0
    assert "blocking-sleep" in out


def test_a_process_that_ends_while_it_is_watched(stuck, attach, once_stuck):
    once_stuck(stuck.kill)
    status, out, _ = attach(stuck.pid)
    assert status == 0
    assert "ended while it was watched" in out
    assert "blocking-sleep" in out


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, sys.argv[1], "sleep"], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
try:
    child.wait()
finally:
    child.kill()
"""


def test_children_are_looked_at_if_asked_for(attach):
    from tests.attached.targets import FILE

    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(FILE)], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    try:
        alone, _, _ = attach("--once", parent.pid)
        status, out, _ = attach("--once", "--children", parent.pid)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate()
    assert (alone, status) == (3, 1)
    assert "blocking-sleep" in out


def test_nothing_is_written_into_the_process(stuck):
    process = RemoteProcess(stuck.pid)
    told = Path(f"/proc/self/fdinfo/{process._descriptor}").read_text("ascii")
    process.close()
    mode = int(told.split("flags:")[1].split()[0], 8)
    assert mode & (os.O_WRONLY | os.O_RDWR) == os.O_RDONLY


def test_how_long_it_was_stuck_is_known_at_the_first_look(stuck):
    time.sleep(1)  # how long it has been there at least
    sampler = Sampler(stuck.pid, threshold=0.05)
    (loop,) = sampler.look()
    sampler.close()
    assert loop.current().seconds >= 1


def test_tasks_are_counted(stuck):
    process = RemoteProcess(stuck.pid)
    reader = LoopReader(process)
    (look,) = reader.looks()
    waiting = reader.waiting(look)
    process.close()
    assert (waiting.ready, waiting.suspended) == (0, 11)


def test_a_probe_on_another_process_tells_its_subscribers(stuck):
    probe = ProcessProbe(stuck.pid)
    told = threading.Event()

    def look():
        current = probe.current()
        if current is not None and current.conflict == "blocking-sleep":
            told.set()

    probe.subscribe(look, every=0.05)
    probe.start()
    assert told.wait(30)
    report = probe.stop()
    assert report.stalls[-1].conflict == "blocking-sleep"
    assert not probe.running


def test_a_probe_knows_when_the_process_has_ended(stuck):
    probe = ProcessProbe(stuck.pid)
    stalled, ended = threading.Event(), threading.Event()

    def look():
        current = probe.current()
        if current is not None and current.conflict == "blocking-sleep":
            stalled.set()

    probe.subscribe(look, every=0.05)
    probe.subscribe(lambda: ended.set() if probe.loop is not None else None, every=0.05)
    probe.start()
    assert stalled.wait(30)
    stuck.kill()
    stuck.wait()
    assert ended.wait(30)
    probe.stop()
    assert probe.report().stalls[-1].conflict == "blocking-sleep"


def test_a_process_without_a_loop_has_no_probe():
    with target("no_loop") as process, pytest.raises(AttachError, match="no event loop runs"):
        ProcessProbe(process.pid)


def test_a_scope_shows_another_process(stuck):
    import loopclinic

    time.sleep(1)
    scope = loopclinic.attach(stuck.pid)
    tick = scope.newest_history()["now"]
    scope.stop()
    (stall,) = scope.recorder.stalls  # it lasted until the scope stopped
    assert (stall["conflict"], scope.recorder.now["stall"]) == ("blocking-sleep", None)
    assert tick["stall"]["conflict"] == "blocking-sleep"
    assert tick["tasks"] == 12
    assert "time.sleep" in str(scope)


def test_attach_imports_nothing_of_the_kit():
    said = subprocess.run(
        [sys.executable, "-c", "import loopclinic.cli.attach, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"anywidget", "matplotlib", "psutil", "rich", "IPython", "numpy"} & {*said}


def test_a_loop_that_tries_to_get_the_gil_between_two_looks_does_not_go_round():
    steps, frames = ((1, 2),), ()
    reader = SimpleNamespace(
        process=SimpleNamespace(pid=os.getpid(), here=lambda number: number),
        kind=lambda look: "",
        waiting=lambda look: None,
    )

    def look(at, state):
        kept = Kept(7, frames, steps)
        thread = RemoteThread(0, 0, os.getpid())
        return Look(thread, 1, at, state, None, None, frames, None, steps, None, False, kept)

    loop = AttachedLoop(reader, None, look(100.0, "gil"), threshold=5.0, zero=100.0)
    for turn, state in enumerate(["idle", "gil", "idle", "idle", "gil"], 1):
        loop.feed(look(100.0 + 0.01 * turn, state))
    assert loop.iterations == 0
    assert loop.snapshot().age == pytest.approx(0.05)
