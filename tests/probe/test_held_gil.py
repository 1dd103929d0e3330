"""When a stall says that a call keeps the GIL: only of what the kernel's counters show, here recorded ones.

On one processor with two other programs, or none; a plain loop in Python, or calls of `sum(range(n))`.
"""

import os
import sys
import threading
import time
from typing import NamedTuple

import pytest

from loopclinic.probe import loop_thread
from loopclinic.probe.diagnosis import findings
from loopclinic.probe.schedule import Times, cpu_time
from loopclinic.probe.stack import Sample
from loopclinic.probe.stall_samples import StallSamples

from .fakes import FakeLoop


class Late(NamedTuple):
    """One late look: seconds that it was late by, and what passed since the look before."""

    late: float
    waited: float
    turns: int
    loop_ran: float
    loop_waited: float
    wait: float = 0.01


# The processor was given to other programs: the watchdog woke to ask for the GIL, nobody ran.
PREEMPTED = [
    Late(0.0577, 0.0532, 9, 0.0055, 0.0622),
    Late(0.0523, 0.0722, 16, 0.0026, 0.0597),
    Late(0.0491, 0.0632, 11, 0.0038, 0.0553),
    Late(0.0483, 0.0328, 10, 0.0038, 0.0545),
    Late(0.0507, 0.0459, 15, 0.0059, 0.0548),
    Late(0.0565, 0.0409, 8, 0.0073, 0.0672, 0.025),
]
KEPT = [
    Late(0.0665, 0.0039, 15, 0.0653, 0.0015, 0.025),
    Late(0.0433, 0.0, 11, 0.0524, 0.0009),
    Late(0.1848, 0.0298, 41, 0.0609, 0.1313, 0.025),
    Late(0.1540, 0.0167, 26, 0.0497, 0.1143),
    Late(0.3544, 0.0779, 70, 0.0488, 0.3272, 0.025),
    Late(0.3267, 0.0809, 52, 0.0491, 0.3014),
]
RESTED = [Late(0.3, 0.0, 61, 0.0004, 0.0003), Late(0.2, 0.002, 41, 0.0002, 0.0)]


class Replay:
    """A loop that is busy, with a watchdog that gets recorded counters."""

    def __init__(self, monkeypatch):
        self.loop = FakeLoop()
        self.own, self.loops = Times(0.0, 0.0, 40), Times(0.0, 0.0, 40)
        self.probe = self.loop.probe()
        monkeypatch.setattr(loop_thread, "cpu_time", lambda _: self.loops.ran)
        self.probe.start()
        self.dog = self.probe._meter.watchdog
        monkeypatch.setattr(self.dog._lateness._schedule, "read", lambda: self.own)
        monkeypatch.setattr(self.dog._loop._schedule, "read", lambda: self.loops)
        for _ in range(8):
            self.loop.idle(0.025)
            self.look(Late(0.0, 0.0, 1, 0.0001, 0.0, 0.025))

    def look(self, one):
        self.own = Times(0.0, self.own.waited + one.waited, self.own.turns + one.turns)
        ran, waited = self.loops.ran + one.loop_ran, self.loops.waited + one.loop_waited
        self.loops = Times(ran, waited, self.loops.turns + 1)
        self.dog._wait = one.wait
        self.loop.now += one.wait + one.late
        self.dog.look()

    def stall(self, *looks):
        for one in looks:
            self.look(one)
        self.loop.busy(0)
        return self.probe.stop().stalls[-1]


@pytest.mark.parametrize("late", PREEMPTED)
def test_a_plain_loop_that_has_no_processor_keeps_no_gil(monkeypatch, late):
    plain = Late(0.0, 0.0, 3, 0.01, 0.0)
    for looks in ([late], [plain] * 5 + [late] + [plain] * 5, [late] * 4):
        stall = Replay(monkeypatch).stall(*looks)
        assert not stall.gil_held
        assert "GIL" not in (stall.diagnosis or "").replace("lets go of the GIL", "")


@pytest.mark.parametrize("late", KEPT)
def test_a_call_that_works_on_though_the_gil_is_asked_for_keeps_it(monkeypatch, late):
    stall = Replay(monkeypatch).stall(late)
    assert stall.gil_held
    assert "Computation in one call that keeps the GIL" in stall.diagnosis
    assert stall.function in ("look", "ran_since")


def test_several_calls_are_not_told_as_one(monkeypatch):
    stall = Replay(monkeypatch).stall(*KEPT[1:2] * 6)
    assert stall.gil_held
    assert "Computation in calls that keep the GIL held" in stall.diagnosis


def test_a_call_before_a_plain_loop_is_not_what_the_loop_is_told_to_be(monkeypatch):
    stall = Replay(monkeypatch).stall(KEPT[0], *[Late(0.0, 0.0, 3, 0.01, 0.0)] * 40)
    assert not stall.gil_held
    assert stall.diagnosis.startswith("Computation held")


@pytest.mark.parametrize("late", RESTED)
def test_a_loop_that_neither_ran_nor_wanted_to_was_kept_from_the_gil(monkeypatch, late):
    stall = Replay(monkeypatch).stall(late)
    assert stall.gil_held
    assert stall.diagnosis.startswith("Another thread kept the GIL")


@pytest.mark.parametrize("ran", [None, 0.0])
def test_where_the_kernel_has_no_clock_of_a_thread_the_wakings_decide(monkeypatch, ran):
    replay = Replay(monkeypatch)
    monkeypatch.setattr(loop_thread, "cpu_time", lambda _: ran)
    assert replay.stall(PREEMPTED[4]).gil_held is (ran is None)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux numbers the clock of each thread")
def test_the_clock_of_a_thread_is_read_from_outside():
    before = time.thread_time()
    assert before <= cpu_time(threading.get_native_id()) <= time.thread_time()
    assert cpu_time(os.getppid()) is None, "a thread of another process"
    assert cpu_time(0) is None


def test_who_waits_with_the_gil_is_no_other_thread():
    case = StallSamples(0.0)
    found = Sample((("/home/ada/app.py", 4, "pay"),), 0, synchronous_cell=False)
    for at in (0.1, 0.2, 0.4):
        case.add(found, at, held=at - 0.01, exact=True)
    case.gil_held = True
    case.work(0.0, Times(0.0, 0.0))
    case.work(0.4, Times(0.001, 0.0))
    told = findings(case, 0.0, 0.4, 0.05)
    assert told["diagnosis"].startswith(
        "The line waited, kept the GIL and held the loop for 400 ms"
    )


@pytest.mark.parametrize(("ran", "told"), [(0.28, "unknown line"), (0.0004, "another thread")])
def test_whose_call_kept_the_gil_until_the_iteration_was_over(monkeypatch, ran, told):
    replay = Replay(monkeypatch)
    replay.loop.idle(0.02)
    replay.loop.busy(0.3)
    replay.loop.idle(0.001)
    replay.look(Late(0.0, 0.0, 61, ran, 0.0))
    (stall,) = replay.probe.stop().stalls
    assert stall.gil_held
    assert stall.where == told
