"""Why a look of the watchdog came late: the GIL, no processor, or a machine that stood still."""

import sys

import pytest

from loopclinic.probe.lateness import Lateness
from loopclinic.probe.schedule import Times
from loopclinic.probe.stall_samples import StallSamples

INTERVAL = 0.01
SWITCH = sys.getswitchinterval()


class Thread:
    """The watchdog's, as the kernel knows it; every look costs it a turn."""

    def __init__(self, monkeypatch, *, known=True):
        self.now, self.waited, self.turns, self.known = 100.0, 0.0, 40, known
        self.lateness = Lateness(lambda: None)
        monkeypatch.setattr(self.lateness._schedule, "read", self.read)
        for _ in range(50):
            self.look(INTERVAL)

    def read(self):
        return Times(0.0, self.waited, self.turns) if self.known else Times(0.0, 0.0)

    def look(self, passed, wait=INTERVAL):
        self.now += passed
        self.turns += 1
        return self.lateness.look(self.now, wait, INTERVAL)

    def blamed(self):
        """What an iteration is told to be that lasted as long."""
        if self.lateness.over != self.now:
            return None
        case = StallSamples(self.lateness.begun)
        self.lateness.mark(case)
        return "held" if case.gil_held else "likely"


@pytest.mark.parametrize("late", [0.06, 0.2, 1.0])
def test_who_asks_for_the_gil_wakes_again_and_again(monkeypatch, late):
    thread = Thread(monkeypatch)
    for _ in range(8):  # a probe without a witness looks at a calm loop this often
        thread.look(0.025, 0.025)
    thread.turns += int(late / SWITCH)
    assert thread.look(0.025 + late, 0.025) == pytest.approx(late)
    assert thread.blamed() == "held"
    assert thread.lateness.asked


def test_where_there_is_no_gil_nobody_kept_it(monkeypatch):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    thread = Thread(monkeypatch)
    thread.turns += int(1.0 / SWITCH)
    thread.look(INTERVAL + 1.0)
    assert thread.blamed() is None


@pytest.mark.parametrize("late", [0.06, 0.2, 1.0])
def test_a_machine_that_stood_still_is_no_held_gil(monkeypatch, late):
    thread = Thread(monkeypatch)
    assert thread.look(INTERVAL + late) == pytest.approx(late)
    assert thread.blamed() is None


@pytest.mark.parametrize(("late", "told"), [(0.2, None), (1.0, "likely")])
def test_a_thread_without_a_processor_is_late_for_that(monkeypatch, late, told):
    thread = Thread(monkeypatch)
    thread.waited += 0.9 * late
    thread.turns += int(late / SWITCH / 2)
    thread.look(INTERVAL + late)
    assert thread.blamed() == told


def test_a_busy_machine_slows_the_asking_too(monkeypatch):
    thread = Thread(monkeypatch)
    thread.waited += 0.4
    thread.turns += int(1.0 / SWITCH / 2)
    thread.look(INTERVAL + 1.0)
    assert thread.blamed() == "held"


def test_where_the_kernel_tells_nothing_it_was_the_gil(monkeypatch):
    thread = Thread(monkeypatch, known=False)
    thread.look(INTERVAL + 0.2)
    assert thread.blamed() == "held"
    assert not thread.lateness.asked


def test_a_look_in_time_tells_nothing(monkeypatch):
    thread = Thread(monkeypatch)
    for _ in range(100):
        assert thread.look(INTERVAL + 0.03) == pytest.approx(0.03)
    assert thread.blamed() is None


@pytest.mark.parametrize(
    ("waited", "wakes", "wanted"),
    [(0.0, 40, True), (0.75, 10, True), (0.9, 0, False), (0.0, 0, False)],
    ids=["an idle machine", "a busy one", "no processor alone", "a machine that stood still"],
)
def test_the_gil_was_wanted_where_the_thread_woke_again_and_again(
    monkeypatch, waited, wakes, wanted
):
    thread = Thread(monkeypatch)
    for _ in range(8):
        thread.look(0.025, 0.025)
    thread.waited += waited * 0.2
    thread.turns += wakes
    thread.look(0.025 + 0.2, 0.025)
    began, ended = thread.lateness.wanted
    assert (ended == thread.now) is wanted
    assert not wanted or began == pytest.approx(thread.now - 0.2)
    assert not thread.lateness.stood or not wanted
