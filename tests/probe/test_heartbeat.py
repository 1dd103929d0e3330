"""Measuring loops without a selector, such as uvloop's, by a timer that comes late."""

import asyncio
import hashlib
import itertools
import select
import subprocess
import sys
import threading
import time

import pytest

from loopclinic.probe import Probe, loop_thread, watchdog
from loopclinic.probe.heartbeat import HeartbeatMeter
from loopclinic.probe.schedule import Times
from loopclinic.probe.stack import Sample
from loopclinic.probe.stall_samples import GilHold, StallSamples
from tests.probe.fakes import stand_still


class TimerLoop:
    """A clock and one timer: `run(s)` lets time pass, `stuck(s)` lets the loop be stuck in it."""

    def __init__(self):
        self.now = 100.0
        self.due = []
        self.runs = True
        self.closed = False

    def clock(self):
        return self.now

    time = clock

    def is_running(self):
        return self.runs

    def is_closed(self):
        return self.closed

    def call_soon_threadsafe(self, callback, *arguments):
        callback(*arguments)

    def call_later(self, delay, callback):
        handle = _Handle(self.now + delay, callback)
        self.due.append(handle)
        return handle

    def run(self, seconds):
        end = self.now + seconds
        while self.due and min(self.due).when <= end:
            handle = min(self.due)
            self.due.remove(handle)
            self.now = max(self.now, handle.when)
            handle.callback()
        self.now = end

    def stuck(self, seconds, probe=None):
        end = self.now + seconds
        while self.now + 0.005 <= end:
            self.now += 0.005
            if probe is not None:
                probe._meter.watchdog.look()
        self.now = end
        for handle in sorted(self.due):
            self.due.remove(handle)
            handle.callback()


class _Handle:
    def __init__(self, when, callback):
        self.when, self.callback, self.cancelled = when, callback, False

    def __lt__(self, other):
        return self.when < other.when

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def loop():
    return TimerLoop()


def test_what_a_loop_does_before_the_first_beat_is_its_stall(loop):
    first = []
    loop.call_soon_threadsafe = first.append
    with Probe(loop=loop, _clock=loop.clock) as probe:
        loop.stuck(0.3, probe)
        first.pop()()
        loop.run(1.0)
        probe.halt()
        loop.now += 5.0
        probe.resume()
        loop.due.clear()
        loop.stuck(0.2, probe)
        first.pop()()
        loop.run(1.0)
    report = probe.report()
    assert [stall.seconds for stall in report.stalls] == pytest.approx([0.3, 0.2], abs=0.001)
    assert all(stall.line for stall in report.stalls)


def test_a_stall_is_found_to_within_half_a_beat_and_utilization_is_unknown(loop):
    with Probe(loop=loop, _clock=loop.clock) as probe:
        for phase in (0.0, 0.003, 0.006, 0.009):
            loop.run(1.0 + phase)
            loop.stuck(0.5, probe)
        loop.run(1.0)
    report = probe.report()
    assert [stall.seconds for stall in report.stalls] == pytest.approx([0.5] * 4, abs=0.0055)
    assert report.utilization is None
    assert report.seconds == pytest.approx(7.018)
    assert all(stall.line for stall in report.stalls)
    assert report.lag.max == pytest.approx(0.5, abs=0.0055)
    assert report.lag.p95 == pytest.approx(0.41, abs=0.02), "the same as a selector's would be"


def test_a_timer_that_is_a_millisecond_late_is_no_lag(loop):
    with Probe(loop=loop, _clock=loop.clock) as probe:
        loop.run(1.0)
        loop.now += 0.001
        loop.run(1.0)
    assert probe.report().lag.max == 0
    assert probe.report().stalls == ()


def test_the_stall_in_progress_and_the_ended_one_are_the_same_one(loop):
    told = []
    with Probe(loop=loop, _clock=loop.clock, budget=0.1, on_budget=told.append) as probe:
        loop.run(1.0)
        probe.tick(loop.now)
        loop.now += 0.2
        probe._meter.watchdog.look()
        probe.tick(loop.now)
        current = probe.current()
        loop.stuck(0.1)
        probe.tick(loop.now)
    (stall,) = probe.report().stalls
    assert stall.started == pytest.approx(current.started)
    assert len(told) == 1


def test_what_passes_while_the_loop_is_stopped_is_idle(loop):
    with Probe(loop=loop, _clock=loop.clock) as probe:
        loop.run(1.0)
        loop.runs = False
        probe._meter.watchdog.look()
        loop.now += 3.0
        loop.runs = True
        loop.stuck(0)
        loop.run(1.0)
    assert probe.report().stalls == ()
    assert probe.report().lag.max < 0.03


def test_a_loop_that_is_seen_to_wait_for_events_is_not_stuck(loop, monkeypatch):
    """A virtual machine's host may have no time for the processor that the loop rests on."""
    waits = True
    monkeypatch.setattr(HeartbeatMeter, "between_callbacks", lambda *_: True)
    monkeypatch.setattr(loop_thread, "polls", lambda _: waits)
    monkeypatch.setattr(loop_thread, "ready", lambda _: False)
    with Probe(loop=loop, _clock=loop.clock) as probe:
        loop.run(1.0)
        loop.stuck(0.5, probe)
        loop.run(1.0)
        assert probe.stalls == ()
        assert probe.report().lag.max < 0.03
        waits = False
        loop.stuck(0.5, probe)
        loop.run(1.0)
    assert [stall.seconds for stall in probe.report().stalls] == [pytest.approx(0.5, abs=0.0055)]


def test_a_stall_after_which_the_loop_waits_for_events_before_its_timer_is_a_stall(
    loop, monkeypatch
):
    """As libuv does, whose timers count from before the callbacks."""
    waits, work = False, 0.0
    monkeypatch.setattr(HeartbeatMeter, "between_callbacks", lambda *_: True)
    monkeypatch.setattr(loop_thread, "polls", lambda _: waits)
    monkeypatch.setattr(loop_thread, "ready", lambda _: True)
    with Probe(loop=loop, _clock=loop.clock) as probe:
        dog = probe._meter.watchdog
        monkeypatch.setattr(dog._loop, "work", lambda: Times(work, 0.0, 1))
        loop.run(1.0)
        for _ in range(60):
            work += 0.005
            loop.now += 0.005
            dog.look()
        waits = True
        loop.stuck(0.2, probe)
        loop.run(1.0)
    report = probe.report()
    assert [stall.seconds for stall in report.stalls] == [pytest.approx(0.3, abs=0.0155)]
    assert report.stalls[0].line is not None


@pytest.mark.parametrize("end", ["waits for events", "has no processor"])
def test_a_sleep_in_c_that_ends_in_the_middle_of_a_look_is_a_stall(loop, monkeypatch, end):
    """Its thread has run next to nothing since, or nothing: that does not make the sleep a rest."""
    work, waits, ready = 0.0, False, False

    def polls(_):
        nonlocal work, waits, ready
        if loop.now >= ends:
            waits, ready = end == "waits for events", end == "has no processor"
            work += waits * 1e-5
        return waits

    monkeypatch.setattr(HeartbeatMeter, "between_callbacks", lambda *_: True)
    monkeypatch.setattr(loop_thread, "polls", polls)
    monkeypatch.setattr(loop_thread, "ready", lambda _: ready)
    with Probe(loop=loop, _clock=loop.clock) as probe:
        monkeypatch.setattr(
            probe._meter.watchdog._loop, "work", lambda: Times(work, 0.0, round(work * 1e5))
        )
        ends = 1e9
        loop.run(1.0)
        ends = loop.now + 0.3
        loop.stuck(0.31, probe)
        loop.run(1.0)
    (stall,) = probe.report().stalls
    assert stall.seconds == pytest.approx(0.3, abs=0.0155)


@pytest.mark.parametrize(
    ("seen", "stalls"),
    [
        ((True, True, 0.0), 0),
        ((True, True, 0.005), 1),
        ((True, False, 0.0), 1),
        ((False, True, 0.0), 1),
    ],
    ids=["its processor is away", "it computes in C", "it sleeps in C", "it runs a callback"],
)
def test_a_loop_that_could_run_between_callbacks_and_is_not_let_is_not_stuck(
    loop, monkeypatch, seen, stalls
):
    bare, ready, work = seen
    monkeypatch.setattr(HeartbeatMeter, "between_callbacks", lambda *_: bare)
    monkeypatch.setattr(loop_thread, "polls", lambda _: False)
    monkeypatch.setattr(loop_thread, "ready", lambda _: ready)
    with Probe(loop=loop, _clock=loop.clock) as probe:
        ran = itertools.count()
        monkeypatch.setattr(
            probe._meter.watchdog._loop, "work", lambda: Times(next(ran) * work, 0.0, 1)
        )
        loop.run(1.0)
        loop.stuck(0.5, probe)
        loop.run(1.0)
    report = probe.report()
    assert len(report.stalls) == stalls
    assert (report.lag.max > 0.4) == bool(stalls)


@pytest.mark.parametrize(
    ("turns", "waited", "stalls"),
    [(0, 0.0, 0), (60, 0.0, 1), (0, 0.3, 1)],
    ids=["the machine stood still", "the GIL was asked for", "no processor was free"],
)
def test_what_nobody_saw_is_a_stall_unless_the_machine_stood_still(
    loop, monkeypatch, turns, waited, stalls
):
    with Probe(loop=loop, _clock=loop.clock) as probe:
        dog = probe._meter.watchdog
        seen = Times(0.0, 0.0, 1)
        monkeypatch.setattr(dog._lateness._schedule, "read", lambda: seen)
        for _ in range(20):
            loop.run(0.01)
            seen = seen._replace(turns=seen.turns + 1)
            dog.look()
        loop.stuck(0.3)
        seen = Times(0.0, waited, seen.turns + 1 + turns)
        dog.look()
        loop.run(0.1)
    report = probe.report()
    assert len(report.stalls) == stalls
    assert (report.lag.max > 0.2) == bool(stalls)


@pytest.mark.parametrize("phase", [0.002, 0.007, 0.011])
def test_a_machine_may_stand_still_right_after_a_look(loop, monkeypatch, phase):
    """Also one that came when the timer was about to be due, or a little late."""
    with Probe(loop=loop, _clock=loop.clock) as probe:
        dog = probe._meter.watchdog
        monkeypatch.setattr(dog._lateness._schedule, "read", lambda: Times(0.0, 0.0, 1))
        loop.run(1.0)
        loop.now += phase
        dog.look()
        loop.stuck(0.3)
        dog.look()
        loop.run(0.1)
    assert probe.report().stalls == ()
    assert probe.report().lag.max < 0.03


def test_a_machine_may_stand_still_in_the_middle_of_a_look(loop, monkeypatch):
    stands = False

    def read():
        nonlocal stands
        if stands:
            stands = False
            loop.stuck(0.3)
        return Times(0.0, 0.0, 1)

    with Probe(loop=loop, _clock=loop.clock) as probe:
        dog = probe._meter.watchdog
        monkeypatch.setattr(dog._lateness._schedule, "read", read)
        for turn in range(40):  # it reads the accounts every now and then
            stands = stands or turn == 20
            loop.run(0.01)
            dog.look()
        assert not stands
    assert probe.report().stalls == ()


def test_a_sleep_in_c_that_was_seen_before_the_machine_stood_still_is_a_stall(loop, monkeypatch):
    monkeypatch.setattr(HeartbeatMeter, "between_callbacks", lambda *_: True)
    monkeypatch.setattr(loop_thread, "polls", lambda _: False)
    monkeypatch.setattr(loop_thread, "ready", lambda _: False)
    with Probe(loop=loop, _clock=loop.clock) as probe:
        dog = probe._meter.watchdog
        monkeypatch.setattr(dog._lateness._schedule, "read", lambda: Times(0.0, 0.0, 1))
        monkeypatch.setattr(dog._loop, "work", lambda: Times(1.0, 0.0, 1))
        loop.run(1.0)
        for _ in range(40):
            loop.now += 0.005
            dog.look()
        loop.now += 0.3
        dog.look()
        loop.stuck(0.0)
        loop.run(0.1)
    (stall,) = probe.report().stalls
    assert stall.seconds == pytest.approx(0.5, abs=0.0155)


def test_a_callback_that_was_seen_before_the_machine_stood_still_is_a_stall(loop, monkeypatch):
    with Probe(loop=loop, _clock=loop.clock) as probe:
        dog = probe._meter.watchdog
        monkeypatch.setattr(dog._lateness._schedule, "read", lambda: Times(0.0, 0.0, 1))
        loop.run(1.0)
        loop.now += 0.1
        dog.look()
        loop.stuck(0.3)
        dog.look()
        loop.run(0.1)
    assert [stall.seconds for stall in probe.report().stalls] == [pytest.approx(0.4, abs=0.0055)]


def test_a_watchdog_that_was_busy_itself_does_not_blame_the_machine(loop, monkeypatch):
    with Probe(loop=loop, _clock=loop.clock) as probe:
        dog = probe._meter.watchdog
        monkeypatch.setattr(dog._lateness._schedule, "read", lambda: Times(0.0, 0.0, 1))
        for _ in range(20):
            loop.run(0.01)
            dog.look()
        loop.stuck(0.3)
        dog._lateness.pause(loop.now - 0.25)
        dog._lateness.resume(loop.now)  # until then a subscriber kept it
        dog.look()
    assert len(probe.report().stalls) == 1


def test_no_timer_is_left(loop):
    for _ in range(100):
        with Probe(loop=loop, _clock=loop.clock):
            loop.run(0.05)
    assert all(handle.cancelled for handle in loop.due)


uvloop = pytest.importorskip("uvloop") if sys.platform != "win32" else None


@pytest.fixture
def uv():
    loop = uvloop.new_event_loop()
    yield loop
    loop.close()


def test_uvloop_is_measured(uv):
    async def main():
        with Probe() as probe:
            await asyncio.sleep(0.05)
            time.sleep(0.3)
            await asyncio.sleep(0.05)
            return probe.report()

    report = uv.run_until_complete(asyncio.wait_for(main(), 30))
    worst = max(report.stalls, key=lambda stall: stall.seconds)
    assert worst.code == "time.sleep(0.3)"
    assert worst.conflict == "blocking-sleep"
    assert worst.seconds == pytest.approx(0.3, rel=0.5)
    assert worst.task
    assert report.utilization is None
    assert "utilization unknown" in str(report)


def test_a_callback_that_waits_for_events_of_its_own_is_a_stall_of_uvloop(uv):
    """As a synchronous client does; the loop's own wait looks the same to the kernel."""

    async def main():
        with Probe() as probe:
            await asyncio.sleep(0.05)
            select.epoll().poll(0.3)
            await asyncio.sleep(0.05)
            return probe.report()

    report = uv.run_until_complete(main())
    worst = max(report.stalls, key=lambda stall: stall.seconds)
    assert worst.code == "select.epoll().poll(0.3)"
    assert worst.seconds > 0.15


@pytest.mark.alone  # beside others its watchdog may come too late to see it work
def test_a_callback_without_a_frame_is_a_stall_of_uvloop(uv):
    """It lets go of the GIL and computes: nothing but the kernel's accounts tells it from rest."""

    async def main():
        with Probe() as probe:
            await asyncio.sleep(0.05)
            began = time.thread_time()
            uv.call_soon(hashlib.pbkdf2_hmac, "sha256", b"word", b"salt", 1_000_000)
            await asyncio.sleep(0.02)
            seconds = time.thread_time() - began
            await asyncio.sleep(0.05)
            return probe.report(), seconds

    report, seconds = uv.run_until_complete(main())
    assert max(stall.seconds for stall in report.stalls) > seconds / 2


@pytest.mark.alone  # beside others it may be the machine that stands still
def test_uvloop_in_another_thread_and_closed_under_its_probe(uv):
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(timeout=20)  # it runs
    with Probe(loop=loop) as probe:
        loop.call_soon_threadsafe(time.sleep, 0.3)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), loop).result(timeout=20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert max(stall.seconds for stall in probe.report().stalls) > 0.2


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's accounts tell")
@pytest.mark.prove
def test_a_machine_that_stands_still_is_no_stall_of_uvloop(tmp_path):
    code = (
        "import asyncio, time, uvloop\n"
        "from loopclinic import Probe\n"
        "async def main():\n"
        "    with Probe(threshold=1.0) as probe:\n"
        "        await asyncio.sleep(0.3)\n"
        "        print('resting', flush=True)\n"
        "        await asyncio.sleep(4)\n"
        "        print(len(probe.report().stalls), flush=True)\n"
        "        time.sleep(2)\n"
        "        await asyncio.sleep(0.05)\n"
        "    print([stall.line for stall in probe.report().stalls])\n"
        "uvloop.run(main())\n"
    )
    file = tmp_path / "program.py"
    file.write_text(code, "utf-8")
    with subprocess.Popen([sys.executable, file], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "resting\n"
        stand_still(program.pid, 2.5)
        assert program.stdout.readline() == "0\n"
        assert program.stdout.readline() == "[9]\n"


@pytest.mark.parametrize("rests", [False, True])
def test_a_gil_that_another_thread_held_is_a_stall_also_where_the_loop_rests_again(
    loop, monkeypatch, rests
):
    """The thread that wants the GIL wakes every 5 ms to ask for it, as the watchdog does."""
    monkeypatch.setattr(HeartbeatMeter, "between_callbacks", lambda *_: rests)
    monkeypatch.setattr(loop_thread, "polls", lambda _: rests)
    with Probe(loop=loop, _clock=loop.clock) as probe:
        dog = probe._meter.watchdog
        seen = Times(0.0, 0.0, 1)
        monkeypatch.setattr(dog._lateness._schedule, "read", lambda: seen)
        for _ in range(20):
            loop.run(0.01)
            seen = seen._replace(turns=seen.turns + 1)
            dog.look()
        seen = seen._replace(turns=seen.turns + 61)
        if rests:
            loop.now += 0.3
            dog.look()
            loop.run(0.1)
        else:
            loop.stuck(0.3)
            dog.look()
            loop.run(0.1)
    (stall,) = probe.report().stalls
    assert stall.seconds == pytest.approx(0.3, abs=0.011)
    assert stall.where == "another thread"
    assert stall.gil_held
    assert stall.diagnosis.startswith("Another thread kept the GIL")


def test_what_was_seen_from_outside_of_a_busy_time_that_waits_to_be_confirmed_is_kept_for_it(loop):
    frames = (("/home/ada/app.py", 7, "crunch"),)
    with Probe(loop=loop, _clock=loop.clock) as probe:
        meter = probe._meter
        loop.run(1.0)
        meter.watchdog.look()
        began = loop.now
        loop.stuck(0.3)
        case = StallSamples(began + 0.2)
        hold = GilHold(Sample(frames, 0, synchronous_cell=False), "worker", began, began + 0.2)
        case.add_hold(hold)
        meter.watchdog._complete([case])
        loop.run(0.1)
        meter.watchdog.look()
    (stall,) = probe.report().stalls
    assert (stall.line, stall.thread, stall.conflict) == (7, "worker", "cpu-bound")


@pytest.fixture
def resting(loop, monkeypatch):
    """Return a probe whose loop rests without its timer, and a function that lets so many seconds pass.

    In these its thread runs for some share of the time, in a callback or not.
    """
    state = {"ran": 0.0, "called": False}
    monkeypatch.setattr(loop_thread, "cpu_time", lambda _: state["ran"])
    monkeypatch.setattr(loop_thread, "polls", lambda _: not state["called"])
    monkeypatch.setattr(watchdog, "_ALONE", 1000)
    monkeypatch.setattr(HeartbeatMeter, "between_callbacks", lambda *_: not state["called"])
    with Probe(loop=loop, _clock=loop.clock) as probe:
        dog = probe._meter.watchdog

        def look():
            rests = dog._rests_on(loop.now)
            if rests is False or not dog._skip(loop.now):
                dog.look()
                if rests is False:
                    probe._meter.wake()
                dog._wait = dog._pause(loop.now)

        def wait(seconds, share=0.0, *, called=False):
            state["called"] = called
            state["ran"] += called * 1e-5  # to be called takes some of it
            end = loop.now + seconds
            while loop.now + 0.001 <= end:
                state["ran"] += share * 0.001
                if called:
                    loop.now += 0.001
                else:
                    loop.run(0.001)
                if loop.now >= dog.looked + dog._wait:
                    look()

        dog.look()
        wait(1.0, 0.02)
        assert probe._meter.resting
        yield probe, wait


def test_a_loop_at_rest_is_not_woken(loop, resting):
    probe, wait = resting
    beats = probe.iterations
    wait(2.0)
    wait(2.0, 0.04)  # as many small callbacks as that are
    assert probe.iterations == beats
    assert not loop.due
    assert probe.report().lag.max == 0
    wait(0.2, 0.5)
    assert probe.iterations > beats, "a loop that works is measured by its timer"
    wait(1.0)
    assert not loop.due


@pytest.mark.parametrize("after", [0.0, 0.007, 0.015, 0.025, 0.033])
@pytest.mark.parametrize("share", [0.0, 1.0], ids=["waits", "computes"])
def test_the_first_stall_after_a_rest_is_found(loop, resting, after, share):
    probe, wait = resting
    asked = []
    loop.call_soon_threadsafe = asked.append
    wait(0.5 + after)
    wait(0.2, share, called=True)
    asked.pop()()
    wait(0.5)
    (stall,) = probe.report().stalls
    assert stall.seconds == pytest.approx(0.2, abs=0.021)
    assert stall.line


def test_what_keeps_the_gil_from_the_end_of_a_rest_to_that_of_the_probe_is_a_stall(loop, resting):
    probe, wait = resting
    wait(0.52)
    loop.now += 0.3
    assert [stall.seconds for stall in probe.stop().stalls] == pytest.approx([0.3], abs=0.021)


@pytest.mark.alone(
    wakes=True
)  # beside others the watchdog may come so late that it wants the timer again
def test_uvloop_at_rest_is_left_alone_and_its_first_stall_found(uv):
    async def main():
        with Probe() as probe:
            await asyncio.sleep(0.8)
            before = probe.iterations
            await asyncio.sleep(0.5)
            beats = probe.iterations - before
            time.sleep(0.2)
            await asyncio.sleep(0.05)
            return probe.report(), beats

    report, beats = uv.run_until_complete(main())
    worst = max(report.stalls, key=lambda stall: stall.seconds)
    assert worst.code == "time.sleep(0.2)"
    assert worst.seconds > 0.1
    if sys.platform == "linux":
        assert beats < 25, "a timer of 10 ms would have 50"
