"""Telling many short callbacks from one long one, and computing from waiting, on synthetic samples."""

import threading
from math import inf
from types import SimpleNamespace

import pytest

from loopclinic.probe import Probe
from loopclinic.probe.schedule import Times
from loopclinic.probe.sidecar import Seen
from loopclinic.probe.stack import Sample
from loopclinic.probe.stall_samples import StallSamples
from loopclinic.probe.watchdog import Watchdog

from .fakes import FakeLoop


def seen(callback=None, task=None, line=1):
    frames = (("/home/ada/app.py", line, "f"),)
    return Sample(frames, 0, synchronous_cell=False, task=task, callback=callback)


def gathered(indices, total, step=0.01):
    case = StallSamples(0.0)
    for number, index in enumerate(indices, start=1):
        case.add(seen((index, total)), number * step)
    return case


def test_five_thousand_callbacks_seen_at_ever_other_places_are_a_burst():
    case = gathered(range(100, 5000, 100), 5000)
    assert case.callbacks == 5000
    assert case.burst(0.5, 0.05)
    assert case.longest(0.5) < 0.0005


def test_one_long_callback_among_thousands_is_no_burst():
    case = gathered([40] * 49, 5000)
    assert case.longest(0.5) == pytest.approx(0.48, abs=0.02)
    assert not case.burst(0.5, 0.05)


@pytest.mark.parametrize(
    ("indices", "total"),
    [([0, 0, 0], 1), ([0, 1, 2, 3], 4), ([20], 40)],
    ids=["one callback", "few callbacks", "looked at once"],
)
def test_what_is_too_little_to_speak_of_a_burst(indices, total):
    assert not gathered(indices, total).burst(0.06, 0.05)


def test_a_callback_that_would_be_a_stall_by_itself_is_to_blame():
    many = [1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7, 7, 7, 8, 9, 10]
    assert not gathered(many, 12).burst(0.16, 0.05)
    assert gathered(many, 12).longest(0.16) >= 0.06


def test_where_the_loop_does_not_count_the_tasks_tell():
    busy, one = StallSamples(0.0), StallSamples(0.0)
    for number in range(1, 30):
        busy.add(seen(task=f"Task-{number}"), number * 0.01)
        one.add(seen(task="Task-1"), number * 0.01)
    assert busy.burst(0.3, 0.05)
    assert busy.callbacks is None
    assert not one.burst(0.3, 0.05)


def test_the_share_of_work_is_that_between_the_samples():
    case = StallSamples(0.0)
    assert case.computes is None
    case.add(seen(), 0.1)
    case.work(0.1, Times(5.0, 0.0))
    assert case.computes is None, "one sample and nothing before it"
    case.work(0.3, Times(5.02, 0.0))
    assert case.computing == pytest.approx(0.1)
    assert case.computes is False
    case.work(0.4, Times(5.30, 0.0))
    assert case.computes


@pytest.mark.parametrize(
    ("ran", "waited", "computes"),
    [(0.05, 0.45, True), (0.002, 0.4, False), (0.2, 0.0, True), (0.002, 0.002, False)],
    ids=["for its turn among ten", "at each of many wakings", "never", "hardly"],
)
def test_who_waits_for_a_processor_computes_only_if_it_runs_too(ran, waited, computes):
    case = StallSamples(0.0)
    case.add(seen(), 0.1)
    case.work(0.1, Times(1.0, 1.0))
    case.work(0.6, Times(1.0 + ran, 1.0 + waited))
    assert case.computes is computes


def test_what_the_thread_does_when_it_is_over_is_no_part_of_it():
    case = StallSamples(0.0, before=(Times(1.0, 0.0), 0.0))
    case.add(seen(), 0.1)
    case.work(0.1, Times(1.1, 0.0))
    case.ended = 0.1
    case.work(0.2, Times(1.1, 0.0))
    assert case.computing == pytest.approx(1.0)


def test_one_sample_is_compared_with_a_calm_moment_before():
    for work, computes in ((1.001, False), (1.09, True)):
        case = StallSamples(0.0, before=(Times(1.0, 0.0), 0.0))
        case.add(seen(), 0.1)
        case.work(0.1, Times(work, 0.0))
        assert case.computes is computes


def test_what_was_busy_before_it_leaves_open_whether_one_sample_shows_work():
    for unknown, work, computes in (
        (0.05, 1.15, True),  # 0.15 s of work since then, of which 0.05 at most were before
        (0.05, 1.05, None),  # either all of it was before, or half of this was work
        (0.05, 1.01, False),
    ):
        case = StallSamples(0.0, before=(Times(1.0, 0.0), unknown))
        case.add(seen(), 0.1)
        case.work(0.1, Times(work, 0.0))
        assert case.computes is computes


def test_where_the_scheduler_tells_nothing_many_lines_mean_work():
    case = StallSamples(0.0)
    for line in (1, 2):
        case.add(seen(line=line), line * 0.01)
    assert case.computes is None
    case.add(seen(line=3), 0.03)
    assert case.computes


def test_a_sample_that_comes_to_hand_late_gets_its_own_time():
    case = StallSamples(0.0)
    case.add(seen(line=2), 1.0)  # taken from within, when the GIL was free again
    case.add(seen(line=1), 0.1)
    case.add(seen(line=1), 0.9)  # heard of only then
    assert case.worst(0.0).frames[0][1] == 1
    assert case.last == 1.0


def test_what_is_learned_while_the_loop_tells_its_end_is_told_when_that_is_over():
    told, over = [], []
    sinks = [SimpleNamespace(complete=told.append)]
    meter = SimpleNamespace(
        began=5.0, sinks=sinks, adopt=lambda _: False, over=lambda began, _: began in over
    )
    watchdog = Watchdog(meter)
    still, ending, before = StallSamples(5.0), StallSamples(5.0), StallSamples(5.5)
    watchdog._complete([still])
    over.append(5.0)
    watchdog._complete([ending, before])
    assert told == [], "the first goes on, and of the others nobody has heard yet"
    meter.began = inf
    watchdog._complete([])
    watchdog._complete([])
    assert told == [ending, before]


class Heard:
    """A witness that has seen what a test says."""

    ready, url, refused, interval = True, None, None, 0.01

    def __init__(self, *seen):
        self.seen = [*seen]

    def beat(self, beat):
        pass

    def close(self):
        pass

    def collect(self):
        reports, self.seen = self.seen, []
        return reports


def test_a_hold_is_told_of_an_iteration_whose_end_is_just_being_told():
    """The watchdog gets the GIL while the loop's thread reads source lines for what it tells."""
    loop = FakeLoop()
    with Probe(loop=loop, _clock=loop.clock) as probe:
        dog, record = probe._meter.watchdog, probe.record
        dog._witness = Heard()
        dog.look()
        loop.idle(0.1)

        def interrupted(*stall):
            loop.now += 0.001
            dog.look()
            record(*stall)

        probe.record = interrupted
        frames = [(__file__, 7, "hold")]
        dog._witness.seen.append(Seen(loop.now + 0.4, 0.3, threading.get_native_id(), frames))
        loop.busy(0.5)
        del probe.record
        loop.idle(0.1)
        dog.look()
        dog.look()
    (stall,) = probe.report().stalls
    assert (stall.line, stall.thread, stall.gil_held) == (7, "MainThread", True)


@pytest.mark.parametrize("moment", ["_loop", "_lateness"])
def test_a_hold_that_begins_within_a_look_is_told_with_its_line(moment, monkeypatch):
    """Only the witness has seen it: when the GIL is free again, its callback is a line further."""
    loop = FakeLoop()
    with Probe(loop=loop, _clock=loop.clock) as probe:
        dog = probe._meter.watchdog
        dog._witness = Heard()
        dog.look()
        loop.idle(1.0)
        part = getattr(dog, moment)
        name = {"_loop": "follow", "_lateness": "look"}[moment]
        step = getattr(part, name)

        def held(*arguments, **options):
            result = step(*arguments, **options)
            frames = [(__file__, 7, "hold")]
            for at in (0.1, 0.2, 0.3):
                dog._witness.seen.append(Seen(loop.now + at, at, 0, frames))
            loop.now += 0.4
            dog._beat()
            return result

        with monkeypatch.context() as patch:
            patch.setattr(part, name, held)
            dog.look()
        loop.idle(0.1)
        dog.look()
    (stall,) = probe.report().stalls
    assert (stall.line, stall.thread) == (7, None)
    assert [line.line for line in stall.lines] == [7]


def shares(case, ended):
    return {line: seconds for (_, line, _), seconds in case.spent(0.0, ended).lines.items()}


def test_the_time_between_two_lines_is_halved_between_them():
    case = StallSamples(0.0)
    for number in range(3, 90):
        case.add(seen(line=1 if number < 30 else 2), number * 0.01)
    assert shares(case, 0.9) == pytest.approx({1: 0.295, 2: 0.605})


def test_a_held_gil_is_its_lines_from_when_it_could_not_be_had():
    case = StallSamples(0.0)
    case.add(seen(line=1), 0.03)
    case.add(seen(line=2), 0.54, held=0.5)
    assert shares(case, 0.55) == pytest.approx({1: 0.035, 2: 0.515})


def test_what_was_seen_from_outside_is_believed_of_the_whole_hold():
    case = StallSamples(0.0)
    case.add(seen(line=1), 0.03)
    case.add(seen(line=9), 0.54, held=0.5)  # as soon as the GIL was free again
    case.add(seen(line=2), 0.14, held=0.1, exact=True)
    assert shares(case, 0.55) == pytest.approx({1: 0.035, 2: 0.515})


def test_operators_that_keep_the_gil_one_after_another_have_each_its_own_time():
    """Between them nobody gets it: all but the first are seen from outside only."""
    case = StallSamples(0.0)
    for hundredth in range(10, 100, 10):
        line = 1 + (hundredth > 45) + (hundredth > 75)
        case.add(seen(line=line), hundredth / 100, held=hundredth / 100, exact=True)
    case.add(seen(line=9), 1.0, held=1.0)
    assert shares(case, 1.0) == pytest.approx({1: 0.45, 2: 0.3, 3: 0.25})
    longest = [case.holds(seen(line=line).place, 0.0)[1] for line in (1, 2, 3)]
    assert longest == pytest.approx([0.4, 0.2, 0.1])


def test_what_comes_long_after_the_last_sample_is_no_lines():
    case = StallSamples(0.0)
    case.add(seen(line=1), 0.03)
    assert shares(case, 0.5) == pytest.approx({1: 0.05})


def test_each_callback_of_one_iteration_has_its_own_time():
    runs = ("/usr/lib/python3.11/asyncio/events.py", 84, "_run")
    case = StallSamples(0.0)
    for number in range(1, 31):
        name = "charge" if number <= 10 else "refund"
        frames = (runs, ("/home/ada/app.py", number, name))
        task = f"Task-{1 + (number > 10)}"
        case.add(Sample(frames, 1, synchronous_cell=False, task=task), number * 0.01)
    found = case.spent(0.0, 0.3).callbacks
    assert {(place[2], task): seconds for (place, task), seconds in found.items()} == (
        pytest.approx({("charge", "Task-1"): 0.105, ("refund", "Task-2"): 0.195})
    )


def test_a_stall_of_many_seconds_is_sampled_more_rarely():
    case = StallSamples(0.0)
    case.add(seen(), 0.03)
    assert case.due == pytest.approx(0.04)
    case.add(seen(), 60.0)
    assert case.due == pytest.approx(60.06)


def test_who_began_to_measure_within_an_iteration_is_told_of_the_time_since():
    case = StallSamples(0.0)
    for number in range(3, 101):
        case.add(seen(line=1 if number <= 80 else 2), number * 0.01)
    assert case.worst(0.0).frames[0][1] == 1
    assert case.worst(0.75).frames[0][1] == 2
    assert sum(case.spent(0.75, 1.0).lines.values()) == pytest.approx(0.25)
    assert case.first_seen(0.0) == pytest.approx(0.03)
    assert case.first_seen(0.755) == pytest.approx(0.005)
    assert case.first_seen(1.5) is None


def test_a_call_seen_from_outside_until_shortly_before_the_end_is_believed_of_the_rest():
    case = StallSamples(0.0)
    case.add(seen(line=2), 0.2, held=0.2, exact=True)
    case.add(seen(line=2), 0.9, held=0.9, exact=True)
    assert shares(case, 1.0) == pytest.approx({2: 1.0})


def test_what_a_callback_frees_at_its_end_is_told_of_its_last_line():
    """Seen from outside it has no frame any more; within, its line is known from what it was."""
    runs = ("/usr/lib/python3.11/asyncio/events.py", 84, "_run")
    freeing = Sample((runs,), 0, synchronous_cell=False)
    case = StallSamples(0.0)
    case.add(seen(line=1), 0.03)
    case.add(seen(line=2), 0.54, held=0.5)
    for at in (0.14, 0.34):
        case.add(freeing, at, held=at - 0.04, exact=True)
    assert shares(case, 0.55) == pytest.approx({1: 0.035, 2: 0.515})
    assert case.worst(0.0).place[1] == 2
    assert case.holds(case.worst(0.0).place, 0.0)[1] == pytest.approx(0.5)


def test_a_stack_that_is_seen_all_the_time_is_read_once(monkeypatch):
    """At the end of a long stall that is done on the loop's thread."""
    read = []
    monkeypatch.setattr(Sample, "entry", property(read.append))
    case = StallSamples(0.0)
    for number in range(1, 500):
        case.add(seen(line=number % 2), number * 0.01)
    case.spent(0.0, 5.0)
    assert len(read) == 2
