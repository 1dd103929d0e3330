"""Work beside the main thread: handlers of signals do not break it off, and what they raise is not lost."""

import asyncio
import signal
import subprocess
import sys
import threading

import pytest

from loopclinic.probe import Probe
from loopclinic.probe.undisturbed import caller, undisturbed
from loopclinic.runner.running_loops import RunningLoops

from .fakes import FakeLoop

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(params=[TimeoutError, RuntimeError, SystemExit, KeyboardInterrupt])
def raised(request):
    """What the handler of SIGALRM raises."""

    def handler(_number, _frame):
        raise request.param("by the handler")

    before = signal.signal(signal.SIGALRM, handler)
    yield request.param
    signal.signal(signal.SIGALRM, before)


def suppressing(done):
    """Send the signal, and suppress whatever is raised before the last line."""
    try:
        signal.raise_signal(signal.SIGALRM)
        sum(range(1000))
    except BaseException:
        done.append("broken off")
    done.append("done")


def test_what_a_handler_raises_is_raised_when_the_work_is_done(raised):
    done = []
    with pytest.raises(raised, match="by the handler"):
        undisturbed(lambda: suppressing(done))
    assert done == ["done"]


@pytest.mark.parametrize("raised", [RuntimeError], indirect=True)
def test_it_is_raised_by_the_call_that_had_the_work_done_and_not_later(raised):
    """Threads switch as often as they can: one may do all of the work while the other only leaves a call."""
    before, returned, late = sys.getswitchinterval(), 0, 0
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5000):
            try:
                try:
                    undisturbed(lambda: signal.raise_signal(signal.SIGALRM))
                    returned += 1
                except raised:
                    pass
                len("")
            except raised:
                late += 1
    finally:
        sys.setswitchinterval(before)
    assert (returned, late) == (0, 0)


@pytest.mark.parametrize("when", ["began", "ended"])
def test_a_loop_that_begins_or_ends_raises_it_in_the_program(raised, when, caplog):
    done = []
    callbacks = {"began": lambda _: None, "ended": lambda _: None}
    callbacks[when] = lambda _: done or suppressing(done)
    loop = asyncio.new_event_loop()
    loop.call_soon(loop.stop)
    with RunningLoops(**callbacks), pytest.raises(raised, match="by the handler"):
        loop.run_forever()
    assert (loop.is_running(), asyncio._get_running_loop()) == (False, None)
    loop.close()
    assert done == ["done"]
    assert not caplog.records


def test_a_stall_is_recorded_when_a_handler_raises_while_it_is_described(raised, monkeypatch):
    """Linecache suppresses an OSError, such as a TimeoutError; others left the stall out."""
    loop = FakeLoop()
    monkeypatch.setattr(
        "loopclinic.probe.probe.findings", lambda *_: suppressing([]) or {"file": "app.py"}
    )
    with loop.probe() as probe:
        with pytest.raises(raised, match="by the handler"):
            loop.busy(2.0)
        assert [stall.file for stall in probe.stalls] == ["app.py"]


@pytest.mark.usefixtures("raised")
def test_its_own_error_is_returned():
    error = ValueError("of the work")

    def fails():
        raise error

    assert undisturbed(fails) is error
    assert undisturbed(int) is None


def test_work_in_another_thread_is_done_there():
    seen = []
    thread = threading.Thread(target=undisturbed, args=[lambda: seen.append(threading.get_ident())])
    thread.start()
    thread.join()
    assert seen == [thread.ident]


def test_without_a_handler_there_is_no_other_thread():
    seen: list[int] = []
    limit = signal.signal(signal.SIGALRM, signal.SIG_DFL)  # of the tests' own time
    try:
        assert undisturbed(lambda: seen.append(threading.get_ident())) is None
    finally:
        signal.signal(signal.SIGALRM, limit)
    assert seen == [threading.get_ident()]


@pytest.mark.usefixtures("raised")
def test_where_no_thread_can_start_it_is_done_all_the_same(monkeypatch):
    def refuses(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("loopclinic.probe.undisturbed._start_thread", refuses)
    done = []
    assert undisturbed(lambda: done.append(threading.get_ident())) is None
    assert done == [threading.get_ident()]


# A wait for a thread that is not there does not end: in a program of its own, which can be ended.
WAITS = """
import os, signal, threading
from loopclinic.probe import undisturbed as beside

def forks(*_):
    if child := os.fork():
        assert os.waitpid(child, 0) == (child, 0)
        forked.set()
    signal.alarm(10)

def wrecked(_, arguments):
    return start(int, ("no number",))

def work():
    done.append(1)
    if {forks}:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        forked.wait()

done, forked, start = [], threading.Event(), beside._start_thread
signal.signal(signal.SIGUSR1, forks)
beside._start_thread, beside._START = {start}, 0.05
assert beside.undisturbed(work) is None
assert done == [1]
"""
NO_THREAD = {
    "it does not start": ("lambda *_: 1", False),
    "it dies before it has begun": ("wrecked", False),
    "it is not in a child that a handler forks": ("start", True),
}


@pytest.mark.parametrize(("start", "forks"), NO_THREAD.values(), ids=NO_THREAD)
def test_no_thread_is_waited_for_that_is_not_there(start, forks):
    text = WAITS.format(start=start, forks=forks)
    subprocess.run([sys.executable, "-c", text], timeout=20, check=True, capture_output=True)


@pytest.mark.usefixtures("raised")
async def test_it_works_for_its_caller():
    callers = [caller()]
    undisturbed(lambda: callers.append(caller()))
    assert callers[0] == callers[1] == (threading.get_ident(), asyncio.get_running_loop())


@pytest.mark.usefixtures("raised")
async def test_a_probe_that_it_starts_measures_the_thread_of_the_caller():
    probe = Probe(loop=asyncio.get_running_loop())
    assert undisturbed(probe.start) is None
    try:
        assert probe._meter.thread_id == threading.get_ident()
    finally:
        probe.stop()
