"""Servers in Python processes of their own: start, failure, end with the parent."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from loopclinic.servers import FaultyUpstream, ServerError, ServerProcess
from tests.threads import threads_left, threads_now

from .conftest import wait_for

posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups")


def ended(pid: int, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Start a child that runs the given source as its module."""
    started = []

    def start(source: str, **options) -> ServerProcess:
        name = f"child_{len(started)}_{os.getpid()}"
        (tmp_path / f"{name}.py").write_text(source)
        process = ServerProcess(name, label="the child", **options)
        started.append(process)
        return process

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield start
    for process in started:
        process.close()


ECHO = """
import threading
def main(link):
    print("a word on standard output", flush=True)
    link.ready({"spec": link.spec})
    link.listen(lambda call: 1 / 0 if call == "raise" else [call, call])
    threading.Event().wait()
"""


def test_calls_are_answered_and_errors_come_back(child):
    process = child(ECHO, spec={"a": 1}).start()
    assert process.address == {"spec": {"a": 1}}
    assert process.call("x") == ["x", "x"]
    with pytest.raises(ServerError, match="ZeroDivisionError") as caught:
        process.call("raise")
    assert "Traceback" in caught.value.detail
    assert process.call("y") == ["y", "y"]
    wait_for(lambda: "a word on standard output" in process.output)  # read by a thread


def test_closing_ends_the_child_its_threads_and_pipes_twice_over(child):
    threads = threads_now()
    process = child(ECHO).start()
    pid = process.pid
    process.close()
    process.close()
    assert ended(pid, 0.5)
    assert threads_left(threads) == []


async def test_the_asynchronous_twin_keeps_the_loop_free_and_uses_no_executor(child):
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    async with child("import time; time.sleep(0.4)\n" + ECHO) as process:
        seen = ticks
        assert await process.call_async(3) == [3, 3]
        assert not any("asyncio" in thread.name for thread in threading.enumerate())
    ticking.cancel()
    assert seen >= 10


def test_a_child_that_fails_says_why(child):
    with pytest.raises(ServerError, match="ValueError: no such thing"):
        child("def main(link): raise ValueError('no such thing')").start()


def test_a_child_that_dies_says_how_and_its_last_words(child):
    source = "import os, sys\ndef main(link):\n print('out of cheese', file=sys.stderr, flush=True)\n os._exit(7)"
    with pytest.raises(ServerError, match="exit status 7: out of cheese"):
        child(source).start()


def test_a_child_that_is_never_ready_is_ended(child):
    process = child("import time\ndef main(link): time.sleep(60)", start_timeout=0.5)
    with pytest.raises(ServerError, match=r"was not ready within 0.5 s"):
        process.start()
    assert process.pid is None


def test_a_call_to_a_child_that_is_about_to_end_hears_how_it_ends(child):
    process = child(
        "import os, time\ndef main(link):\n link.ready(1)\n os.close(link._in)\n"
        " time.sleep(0.5)\n os._exit(3)"
    ).start()
    time.sleep(0.2)
    with pytest.raises(ServerError, match="exit status 3"):
        process.call("anything", timeout=5)


def test_a_death_in_the_middle_fails_the_call_that_waits(child):
    process = child(
        "import os, threading\ndef main(link):\n link.ready(1)\n"
        " link.listen(lambda call: os._exit(3))\n threading.Event().wait()"
    ).start()
    with pytest.raises(ServerError, match="exit status 3"):
        process.call("die", timeout=5)
    with pytest.raises(ServerError, match="exit status 3"):
        process.call("again", timeout=5)


@posix
def test_a_child_that_won_t_end_is_killed_with_what_it_started(child):
    process = child(
        "import subprocess, sys, threading, time\ndef main(link):\n"
        " other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        " link.ready(other.pid)\n link.listen(on_end=lambda: time.sleep(60))\n"
        " threading.Event().wait()"
    ).start()
    began = time.monotonic()
    process.close()
    assert 1.5 < time.monotonic() - began < 5
    assert ended(process.address)


@posix
def test_an_interrupt_reaches_neither_a_starting_nor_a_running_child(child):
    process = child("import time; time.sleep(0.5)\n" + ECHO)
    waiting = threading.Thread(target=process.start)
    waiting.start()
    deadline = time.monotonic() + 5
    while process.pid is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert os.getpgid(process.pid) != os.getpgrp()  # an interrupt of the group passes it by
    os.kill(process.pid, signal.SIGINT)  # before Python itself is up
    waiting.join(10)
    assert process.call(1) == [1, 1]
    os.kill(process.pid, signal.SIGINT)
    assert process.call(2) == [2, 2]


def test_a_child_in_the_middle_of_an_answer_ends_at_once(child):
    process = child(
        "import threading, time\ndef main(link):\n link.ready(1)\n"
        " link.listen(lambda call: time.sleep(60))\n threading.Event().wait()"
    ).start()
    pid, answer = process.pid, process.submit("sleep")
    began = time.monotonic()
    process.close()
    assert time.monotonic() - began < 1
    assert ended(pid, 0.1)
    assert isinstance(answer.exception(1), ServerError)


@posix
def test_an_interrupt_while_a_child_is_born_leaves_none_behind(child, monkeypatch):
    real = subprocess.Popen

    class Interrupted(real):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            os.kill(os.getpid(), signal.SIGINT)
            born.append(self)

    born = []
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    process = child(ECHO)
    with pytest.raises(KeyboardInterrupt):
        process.start()
    assert born[0].returncode is not None  # ended, and waited for
    assert process.pid is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


@posix
def test_a_killed_parent_takes_the_upstream_with_it():
    source = (
        "import time\nfrom loopclinic.servers import FaultyUpstream\n"
        "up = FaultyUpstream()\nup.__enter__()\nprint(up._process.pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    assert ended(pid)


def test_a_module_of_the_working_directory_does_not_shadow_the_library(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    with FaultyUpstream() as upstream:
        assert upstream.counts_now().requests == 0
