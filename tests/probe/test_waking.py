"""A watchdog that loses the GIL with its first line of Python names the line that it woke beside."""

import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from loopclinic.probe import watchdog

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


class Beats:
    """A witness; the loop's rest ends right before or after it hears that nobody is to look."""

    ready, url, refused, interval = True, None, None, 0.01

    def __init__(self, moment, end_rest):
        self.moment, self.end_rest, self.last = moment, end_rest, None

    def beat(self, beat):
        end_rest = self.end_rest if beat.at == 0 else lambda: None
        if self.moment == "before":
            end_rest()
        self.last = beat
        if self.moment == "after":
            end_rest()

    def collect(self):
        return []

    def close(self):
        pass


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_rest_that_ends_as_the_watchdog_falls_asleep_is_known_outside(moment, monkeypatch):
    """The first call may keep the GIL, and then only the witness sees it."""
    monkeypatch.setattr(watchdog, "count_threads", lambda: 2)
    loop, leave, went = FakeLoop(), threading.Event(), threading.Event()
    known = []

    def end_rest():
        leave.set()
        assert went.wait(10)
        known.append(witness.last)

    def rests():
        loop.idle(0.1)
        went.set()

    with loop.probe(threshold=1.0) as probe:
        dog = probe._meter.watchdog
        dog._witness = witness = Beats(moment, end_rest)
        dog.look()
        loop._selector.meanwhile = lambda: leave.wait(10)
        thread = threading.Thread(target=rests)
        thread.start()
        while loop.now == 100.0:
            pass
        dog._sleep(loop.now)
        dog._sleep(loop.now)
        thread.join()
        assert witness.last.at == loop.now
        if moment == "after":
            assert known == [witness.last], "before the watchdog's next line"


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
