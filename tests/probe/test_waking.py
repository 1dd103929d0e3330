"""A watchdog that loses the GIL with its first line of Python names the line that it woke beside."""

import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from .fakes import FakeLoop

TESTS = str(Path(__file__).parent)


def stuck(leave, then):
    number = 7
    leave.wait(10)  # STUCK
    number += 1
    then()


def overtaken(then):
    """Return the probe of a loop that goes on and does `then` after the watchdog's first line of Python."""
    loop, leave, went, over = FakeLoop(), *(threading.Event() for _ in range(3))
    probe = loop.probe().start()
    dog = probe._meter.watchdog
    waits = []

    def goes_on():
        then(loop)
        went.set()
        over.wait(10)

    def trace(frame, _event, _argument):
        if frame.f_code.co_filename.startswith(TESTS):
            return None
        if waits and not leave.is_set():
            leave.set()
            went.wait(10)
        return trace

    def wait(*_, **__):
        waits.append(True)
        loop.now += 1.0 if len(waits) == 1 else 0.0
        dog._over = len(waits) > 1
        return dog._over

    def watch():
        sys.settrace(trace)
        dog._watch()

    thread = threading.Thread(target=stuck, args=(leave, goes_on))
    thread.start()
    loop._thread_id = thread.ident
    dog.look()
    dog._ended = SimpleNamespace(acquire=wait, release=lambda: None)
    watchdog = threading.Thread(target=watch)
    watchdog.start()
    watchdog.join()
    over.set()
    thread.join()
    return probe


def line():
    text = Path(__file__).read_text("utf-8").splitlines()
    return next(at for at, one in enumerate(text, 1) if one.endswith("# STUCK"))


def test_the_line_is_that_where_the_loop_was_as_it_woke():
    stall = overtaken(lambda _: None).current()
    assert (stall.file, stall.line) == (__file__, line())


def test_it_is_told_of_an_iteration_that_ended_meanwhile():
    probe = overtaken(lambda loop: loop.busy(0))
    (stall,) = probe.stop().stalls
    assert (stall.file, stall.line, stall.seconds) == (__file__, line(), pytest.approx(1.0))


def test_a_loop_that_another_thread_runs_meanwhile_is_not_told_by_the_old_one():
    me = threading.get_ident()
    stall = overtaken(lambda loop: setattr(loop, "_thread_id", me)).current()
    assert stall.line != line()
