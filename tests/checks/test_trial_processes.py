"""Time that a trial lost to other programs: others' work counts, the trial's own does not."""

import subprocess
import sys
import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import NamedTuple

import psutil
import pytest

from loopclinic.checks import trial_processes
from loopclinic.checks.trial_processes import Shortage
from loopclinic.probe.schedule import Times


class Processors(NamedTuple):
    user: float
    system: float
    idle: float
    iowait: float
    steal: float
    guest: float


class Machine:
    """Two processors and a trial, with all accounts set by hand."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        self.times = Processors(0, 0, 0, 0, 0, 0)
        self.turns: Times | None = Times(0.0, 0.0)
        self.used = 0.0
        monkeypatch.setattr(trial_processes.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(psutil, "cpu_times", lambda: self.times)
        monkeypatch.setattr(trial_processes, "_turns", lambda path: self.turns)
        process = SimpleNamespace(cpu_times=lambda: SimpleNamespace(user=self.used, system=0.0))
        self.trial = [process]

    def watched(self):
        found = Shortage(1)
        found.begin(self.trial)
        return found


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


@pytest.mark.parametrize(
    ("times", "waited", "used", "share"),
    [
        (Processors(4, 0, 16, 0, 0, 0), 0.0, 4, 0.0),  # nobody else is there
        (Processors(18, 2, 0, 0, 0, 0), 5.0, 2, 0.45),  # others have nine tenths of what there is
        (Processors(18, 2, 0, 0, 0, 0), 5.0, 20, 0.0),  # the trial stands in its own way
        (Processors(5, 0, 5, 0, 10, 0), 0.0, 5, 0.5),  # whoever lends the processors took half
        (
            Processors(20, 0, 0, 0, 0, 18),
            5.0,
            2,
            0.45,
        ),  # a guest's time is the user's, counted once
    ],
)
def test_of_ten_seconds(machine, times, waited, used, share):
    found = machine.watched()
    machine.now += 10
    machine.times, machine.turns, machine.used = times, Times(1.0, waited), used
    found.look(machine.trial)
    assert found.share == pytest.approx(share)
    assert found.wanted == pytest.approx((1.0 + waited) / 10)


def test_less_than_a_second_tells_nothing(machine):
    found = machine.watched()
    machine.now += 0.9
    machine.times, machine.turns = Processors(1.8, 0, 0, 0, 0, 0), Times(0.0, 0.9)
    found.look(machine.trial)
    assert found.share == 0.0


def test_where_the_kernel_tells_nothing_late_timers_do(machine):
    machine.turns = None
    found = machine.watched()
    machine.now += 10
    machine.times = Processors(20, 0, 0, 0, 0, 0)
    for _ in range(40):
        found.late(0.1)
    found.look(machine.trial)
    assert found.share == pytest.approx(0.4)


def test_the_worst_two_seconds_are_told_apart(machine):
    found = machine.watched()
    for quarter in range(60):
        machine.now += 0.251
        busy = machine.times
        if 20 <= quarter < 28:  # for two seconds the machine has nothing left for the trial
            machine.turns = Times(machine.turns.ran, machine.turns.waited + 0.25)
            machine.times = busy._replace(user=busy.user + 0.5)
        else:
            machine.times = busy._replace(idle=busy.idle + 0.5)
        found.look(machine.trial)
    assert found.share == pytest.approx(2 / 15, rel=0.05)
    assert found.worst > 0.9


def test_a_machine_that_stood_still_had_nothing_for_anybody(machine):
    found = machine.watched()
    for late in (0.0, 0.0, 1.9, 0.0):
        machine.now += 0.3 + late
        found.late(late)
        machine.times = machine.times._replace(idle=machine.times.idle + 0.6)
        found.look(machine.trial)
    assert found.worst == pytest.approx(1.9 / 2.5, rel=0.2)


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's accounts are Linux'")
def test_this_machine_kept_busy_by_others_or_by_the_trial_itself():
    spin = [sys.executable, "-c", "while True: pass"]
    with ExitStack() as stack:
        spinners = []
        for _ in range(3 * (psutil.cpu_count() or 1)):
            process = stack.enter_context(subprocess.Popen(spin))
            stack.callback(process.kill)
            spinners.append(psutil.Process(process.pid))
        one = spinners[0]
        by_others, by_itself = Shortage(one.pid), Shortage(one.pid)
        by_others.begin([one])
        by_itself.begin(spinners)
        ends = time.monotonic() + 2
        while time.monotonic() < ends:
            time.sleep(0.05)
            by_others.look([one])
            by_itself.look(spinners)
    assert by_others.wanted > 0.8
    assert by_others.share > 0.3
    assert by_itself.share < by_others.share  # the more, the less the machine has to do besides
