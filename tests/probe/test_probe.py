"""The probe's logic, on a fake clock: no thread, no waiting."""

from dataclasses import replace
from math import inf

import pytest

from loopclinic.probe import Probe, Stall, UnsupportedLoopError
from loopclinic.probe import probe as probe_module
from loopclinic.probe.report import others
from loopclinic.probe.schedule import Times
from loopclinic.probe.stall_samples import StallSamples

from .fakes import FakeLoop


@pytest.fixture
def loop():
    return FakeLoop()


def test_busy_and_idle_add_up(loop):
    with loop.probe() as probe:
        for _ in range(10):
            loop.idle(0.09)
            loop.busy(0.01)
    report = probe.report()
    assert report.seconds == pytest.approx(1.0)
    assert report.utilization == pytest.approx(0.1)
    assert report.iterations == 20
    assert report.lag.max == pytest.approx(0.01)
    assert report.stalls == ()


def test_a_select_that_does_not_wait_is_busy_time(loop):
    with loop.probe() as probe:
        for _ in range(5):
            loop.busy(0.01)
    assert probe.report().utilization == pytest.approx(1.0)


def test_an_iteration_over_the_threshold_is_a_stall(loop):
    with loop.probe(threshold=0.05) as probe:
        loop.idle(1.0)
        loop.busy(0.049)
        loop.busy(0.051)
    (stall,) = probe.report().stalls
    assert stall.started == pytest.approx(1.049)
    assert stall.seconds == pytest.approx(0.051)
    assert stall.file is None, "nobody looked, so nobody knows the line"
    assert stall.where == "unknown line"


def test_a_stall_that_is_looked_at_has_a_line_and_when_it_was_seen(loop):
    with loop.probe(threshold=0.05) as probe:
        loop.idle(1.0)
        loop.look(probe, 0.3)
        loop.busy(0)
    (stall,) = probe.report().stalls
    assert stall.seconds == pytest.approx(0.3)
    assert stall.first_seen == pytest.approx(0.025, abs=0.006), "from half the threshold on"
    assert stall.file.endswith("fakes.py")
    assert stall.code
    assert "look" in [frame.function for frame in stall.stack]


def test_a_sample_caught_just_before_the_iteration_ended_still_names_it(loop, monkeypatch):
    """Reading the scheduler's files lets go of the GIL, and the loop may go on meanwhile."""
    with loop.probe(threshold=0.05) as probe:
        watchdog = probe._meter.watchdog
        loop.idle(1.0)
        loop.now += 0.2
        schedule = watchdog._lateness._schedule
        read = schedule.read
        monkeypatch.setattr(schedule, "read", lambda: (loop.busy(0), read())[1])
        watchdog.look()
    (stall,) = probe.report().stalls
    assert stall.line


def test_a_call_that_takes_the_gil_while_the_watchdog_reads_a_file_is_seen_as_it_ends(
    loop, monkeypatch
):
    """To read lets go of the GIL, and to have it again takes until the call ends."""

    def read():
        loop.now += 0.2
        return Times(0.0, 0.0, 1)

    with loop.probe() as probe:
        loop.idle(1.0)
        monkeypatch.setattr(probe._meter.watchdog._lateness._schedule, "read", read)
        probe._meter.watchdog.look()
        loop.idle(1.0)
    (stall,) = probe.report().stalls
    assert stall.seconds == pytest.approx(0.2)
    assert stall.line is not None


def test_the_place_with_most_of_the_time_is_named(loop):
    def short():
        loop.look(probe, 0.06)

    def long():
        loop.look(probe, 0.50)

    with loop.probe() as probe:
        loop.idle(1.0)
        short()
        long()
        loop.busy(0)
    (stall,) = probe.report().stalls
    assert "long" in [frame.function for frame in stall.stack]


def test_the_stall_in_progress_can_be_seen_before_it_ends(loop):
    with loop.probe() as probe:
        loop.idle(1.0)
        assert probe.current() is None
        loop.look(probe, 0.2)
        current = probe.current()
        assert current.seconds == pytest.approx(0.2)
        assert current.line
        assert probe.stalls == ()
        loop.busy(0)
        assert probe.current() is None
        assert len(probe.stalls) == 1


def test_stopping_inside_the_iteration_counts_it(loop):
    with loop.probe() as probe:
        loop.now += 0.2
    report = probe.report()
    assert [stall.seconds for stall in report.stalls] == [pytest.approx(0.2)]
    assert report.lag.max == pytest.approx(0.2)
    assert report.utilization == pytest.approx(1.0)


def test_what_was_busy_before_the_probe_began_does_not_count(loop):
    with loop.probe() as outer:
        loop.idle(0.1)
        loop.now += 5.0
        with loop.probe() as inner:
            loop.busy(0.01)
    assert inner.report().lag.max == pytest.approx(0.01)
    assert inner.report().stalls == ()
    assert outer.report().lag.max == pytest.approx(5.01)


def test_two_probes_share_one_wrap_and_leave_the_selector_as_found(loop):
    with loop.probe() as outer:
        wrapped = loop._selector.select
        with loop.probe(threshold=0.5) as inner:
            assert loop._selector.select is wrapped
            loop.busy(0.2)
        loop.busy(0.3)
        assert loop._selector.select is wrapped
    assert "select" not in loop._selector.__dict__
    assert [s.seconds for s in inner.report().stalls] == []
    assert [s.seconds for s in outer.report().stalls] == [pytest.approx(0.2), pytest.approx(0.3)]


def test_an_exception_in_the_body_leaves_the_selector_as_found(loop):
    with pytest.raises(ZeroDivisionError), loop.probe():
        raise ZeroDivisionError
    assert "select" not in loop._selector.__dict__


def test_an_exception_out_of_select_is_passed_on_and_measured(loop):
    with loop.probe() as probe:
        loop._selector.fails = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            loop.idle(0.5)
        loop._selector.fails = None
        loop.busy(0.01)
    assert probe.report().utilization == pytest.approx(0.01 / 0.51)


def test_a_wrap_put_on_after_ours_is_kept_and_ours_falls_silent(loop):
    probe = loop.probe().start()
    ours = loop._selector.select
    loop._selector.select = theirs = lambda timeout=None: ours(timeout)
    probe.stop()
    assert loop._selector.select is theirs
    loop.busy(3.0)
    again = loop.probe()
    with again:
        loop.busy(0.1)
    assert again.report().lag.max == pytest.approx(0.1)
    assert probe.report().stalls == ()


def test_the_wait_before_a_stopped_loop_runs_again_is_nobodys_stall(loop):
    with loop.probe() as probe:
        loop.idle(0.1)
        loop.runs = False
        loop.look(probe, 2.0)
        loop.runs = True
        loop.busy(0.004)
        loop.look(probe, 0.01)
        loop.busy(0.2)
    assert [stall.seconds for stall in probe.report().stalls] == [pytest.approx(0.21)]
    assert probe.report().utilization < 0.15


def test_spans_between_snapshots(loop):
    with loop.probe() as probe:
        loop.idle(0.5)
        loop.busy(0.5)
        first = probe.snapshot()
        loop.idle(0.8)
        loop.busy(0.1)
        loop.now += 0.1
        span = probe.snapshot().since(first)
    assert span.seconds == pytest.approx(1.0)
    assert span.utilization == pytest.approx(0.2)
    assert span.lag.max == pytest.approx(0.1, rel=0.07)
    assert span.iterations == 2


def test_a_snapshot_taken_while_the_loop_waits_counts_the_wait_as_idle(loop):
    seen = []
    with loop.probe() as probe:
        loop.busy(0.5)
        loop._selector.meanwhile = lambda: seen.append((probe.snapshot(), probe.report()))
        loop.idle(0.5)
    snapshot, report = seen[0]
    assert snapshot.idle == pytest.approx(0.5)
    assert snapshot.age == 0
    assert report.utilization == pytest.approx(0.5)


def test_the_budget_calls_back_once_while_the_loop_is_stuck(loop):
    told = []
    with loop.probe(budget=0.1, on_budget=told.append) as probe:
        loop.idle(1.0)
        loop.look(probe, 0.5)
        assert len(told) == 1
        assert 0.1 <= told[0].seconds < 0.12
        assert probe.stalls == (), "it was told before the stall had ended"
        loop.busy(0)
        loop.look(probe, 0.01)
    assert len(told) == 1


def test_a_stall_nobody_saw_is_told_afterwards(loop):
    told = []
    with loop.probe(budget=0.1, on_budget=told.append) as probe:
        loop.busy(0.5)
        loop.look(probe, 0.01)
    assert [stall.seconds for stall in told] == [pytest.approx(0.5)]


def test_subscribers_are_called_at_their_pace_and_dropped_when_they_raise(loop, caplog):
    calls, broken = [], []

    def breaks():
        broken.append(1)
        raise ValueError("a widget is gone")

    with loop.probe() as probe:
        stop = probe.subscribe(lambda: calls.append(loop.now), every=0.1)
        probe.subscribe(breaks, every=0.1)
        loop.look(probe, 1.0)
        before = len(calls)
        stop()
        loop.look(probe, 1.0)
    assert 9 <= before <= 11
    assert len(calls) == before
    assert len(broken) == 1
    assert "callback of a probe raised" in caplog.text


def test_nothing_is_logged_of_a_subscriber_whose_probe_is_stopped_under_it(loop, caplog):
    asked = []

    def asks():
        probe.stop()
        asked.append(True)
        probe.snapshot()

    with loop.probe() as probe:
        probe.subscribe(asks, every=0.1)
        loop.look(probe, 1.0)
    assert (asked, caplog.text) == ([True], "")


def test_a_loop_that_is_well_is_looked_at_as_rarely_as_will_do(loop):
    with loop.probe(threshold=0.08) as probe:
        pause = probe._meter.watchdog._pause
        loop.idle(1.0)
        assert pause(loop.now) == pytest.approx(0.04), (
            "what begins now is seen at half the threshold"
        )
        loop.now += 0.015
        assert pause(loop.now) == pytest.approx(0.025)
        loop.now += 0.03
        assert pause(loop.now) == pytest.approx(0.01), "a stall in the making"
        loop.busy(0)
        loop.idle(1.0)
        stop = probe.subscribe(lambda: None, every=0.02)
        assert pause(loop.now) == pytest.approx(0.02), "a subscriber wants it"
        stop()
        assert pause(loop.now) == pytest.approx(0.04)


def test_whenever_a_stall_begins_its_line_is_known_before_it_is_one(loop):
    with loop.probe(threshold=0.05) as probe:
        watchdog = probe._meter.watchdog
        for step in range(30):
            loop.idle(0.1)
            watchdog.look()
            pause = watchdog._pause(loop.now)
            loop.idle(pause * step / 30)
            began = loop.now
            loop.now += pause * (1 - step / 30)
            while loop.now < began + 0.05:
                watchdog.look()
                loop.now += watchdog._pause(loop.now)
            loop.busy(0)
    stalls = probe.report().stalls
    assert len(stalls) == 30
    assert all(stall.first_seen is not None for stall in stalls)


def test_a_timer_waits_for_up_to_three_busy_iterations_on_end(loop):
    with loop.probe(threshold=0.05) as probe:
        loop.idle(1.0)
        for seconds in (0.2, 0.6, 0.7, 0.1):
            loop.busy(seconds)
        loop.idle(1.0)
        loop.busy(0.3)
    report = probe.report()
    late = [round(stall.heartbeat, 3) for stall in report.stalls]
    assert late == [0.2, 0.8, 1.5, 1.4, 0.3]
    assert report.heartbeat == pytest.approx(1.5)
    assert report.lag.max == pytest.approx(0.7)


def test_what_was_busy_before_the_probe_began_makes_no_timer_late(loop):
    with loop.probe() as outer:
        loop.idle(1.0)
        loop.busy(5.0)
        with loop.probe() as inner:
            loop.busy(0.2)
    assert inner.report().heartbeat == pytest.approx(0.2)
    assert outer.report().heartbeat == pytest.approx(5.2)


def test_a_restarted_probe_begins_from_zero(loop):
    probe = loop.probe()
    with probe:
        loop.busy(1.0)
    loop.busy(7.0)
    with probe:
        loop.busy(0.01)
    assert probe.report().seconds == pytest.approx(0.01)
    assert probe.report().stalls == ()


def test_stalls_are_bounded(loop, monkeypatch):
    monkeypatch.setattr(probe_module, "_MOST_STALLS", 3)
    with loop.probe() as probe:
        for _ in range(5):
            loop.busy(0.1)
    assert len(probe.report().stalls) == 3


def test_thousands_of_starts_leave_nothing_behind(loop):
    from loopclinic.probe import attachment

    for _ in range(3000):
        with loop.probe():
            loop.busy(0.001)
    assert "select" not in loop._selector.__dict__
    assert loop not in attachment._meters


@pytest.mark.parametrize("options", [{"threshold": 0}, {"threshold": -1}, {"budget": 0}])
def test_nonsense_is_refused_with_the_unit(options):
    with pytest.raises(ValueError, match="in seconds"):
        Probe(**options)


def test_a_budget_without_a_callback_is_logged(loop, caplog):
    with loop.probe(budget=0.1) as probe:
        loop.idle(1.0)
        loop.look(probe, 0.2)
    assert "stuck for" in caplog.text
    assert "fakes.py" in caplog.text


def test_a_callback_without_a_budget_is_refused():
    with pytest.raises(ValueError, match=r"Probe\(budget"):
        Probe(on_budget=print)


def test_without_a_loop_the_error_names_the_repair():
    with pytest.raises(RuntimeError, match=r"Probe\(loop=\.\.\.\)"):
        Probe().start()


def test_a_probe_that_never_ran_has_no_report():
    with pytest.raises(RuntimeError, match="never started"):
        Probe().report()


def test_starting_twice_is_refused(loop):
    with loop.probe() as probe, pytest.raises(RuntimeError, match="running already"):
        probe.start()


def test_a_loop_without_selector_and_timers_is_refused_by_name():
    class Loop:
        pass

    with pytest.raises(UnsupportedLoopError, match=r"Loop has no selector and.*SelectorEventLoop"):
        Probe(loop=Loop()).start()


def test_an_idle_probe_hears_of_nothing(loop):
    with loop.probe() as probe:
        meter = probe._meter
    assert meter.level == inf


def test_places_add_up_what_stands_at_one_line(loop):
    stall = {"file": "/home/ada/app.py", "code": "f()", "conflict": "cpu-bound"}
    stalls = (
        Stall(0.0, 0.1, line=7, callback="charge in app.py", **stall),
        Stall(1.0, 0.5, line=9, callback="refund in app.py", **stall),
        Stall(2.0, 0.6, line=7, callback="refund in app.py", **stall),
        Stall(3.0, 0.1, burst=True, callbacks=100),
        Stall(4.0, 0.2, burst=True, callbacks=300),
    )
    with loop.probe() as probe:
        loop.busy(0.01)
    report = replace(probe.report(), stalls=stalls)
    found = [
        (place.where, place.count, round(place.seconds, 3), place.longest)
        for place in report.places
    ]
    assert found == [
        ("app.py:7", 2, 0.7, 0.6),
        ("app.py:9", 1, 0.5, 0.5),
        ("bursts of callbacks", 2, 0.3, 0.2),
    ]
    assert [(one.name, one.count, one.longest) for one in report.callbacks] == [
        ("refund in app.py", 2, 0.6),
        ("charge in app.py", 1, 0.1),
    ]


def resting(loop, seconds, then):
    """Let the loop wait, and call `then(meter)` before it wakes."""
    loop._selector.meanwhile = then
    loop.idle(seconds)
    loop._selector.meanwhile = lambda: None


def test_a_rest_that_could_not_be_left_is_busy_time(loop):
    with loop.probe(threshold=0.05) as probe:
        meter = probe._meter

        def kept():
            began, ended = meter.rest_span(loop.now - 0.5, loop.now)
            case = StallSamples(began)
            case.ended, case.gil_held = ended, True
            meter.record_blocked_select(case)

        loop.idle(1.0)
        resting(loop, 2.0, kept)
        loop.busy(0.0)
    (stall,) = probe.report().stalls
    assert (stall.started, stall.seconds) == (pytest.approx(2.5), pytest.approx(0.5))
    assert stall.where == "another thread"
    assert str(stall) == "Another thread kept the GIL and held the loop for 500 ms."
    assert probe.report().utilization == pytest.approx(0.5 / 3)
    assert probe.report().lag.max == pytest.approx(0.5)


def test_a_loop_that_stops_and_runs_again_is_stalled_from_then_on(loop):
    with loop.probe(threshold=0.05) as probe:
        loop.idle(1.0)
        loop.look(probe, 0.1)
        probe.halt()
        probe.halt()
        loop.runs = False
        loop.look(probe, 5.0, every=0.5)
        loop.runs = True
        probe.resume()
        probe.resume()
        loop.look(probe, 0.3)
        loop.busy(0.0)
    first, second = probe.report().stalls
    assert (first.started, first.seconds) == (pytest.approx(1.0), pytest.approx(0.1))
    assert (second.started, second.seconds) == (pytest.approx(6.1), pytest.approx(0.3))
    assert second.line
    assert probe.report().utilization == pytest.approx(0.4 / 6.4)


def test_of_a_time_without_the_gil_only_the_longest_rest_is_told_here(loop):
    with loop.probe() as probe:
        meter = probe._meter
        loop.idle(1.0)
        loop.busy(0.1)
        loop.idle(0.3)
        since = loop.now - 1.0
        assert meter.rest_span(since, loop.now) == pytest.approx((since, since + 0.6))
        assert meter.rest_span(loop.now - 0.35, loop.now) == (loop.now - 0.3, loop.now)
        since = loop.now
        loop.busy(0.5)
        began, ended = meter.rest_span(since, loop.now)
        assert ended <= began, "it was in an iteration"


def test_a_rest_that_lasts_is_told_until_now(loop):
    seen = []
    with loop.probe() as probe:
        loop.idle(0.2)
        begun = loop.now
        resting(loop, 0.4, lambda: seen.append(probe._meter.rest_span(begun - 1.0, loop.now)))
    assert seen == [(begun, begun + 0.4)]


def test_of_many_short_rests_none_is_one(loop):
    with loop.probe() as probe:
        for _ in range(50):
            loop.idle(0.01)
        began, ended = probe._meter.rest_span(loop.now - 0.5, loop.now)
    assert began == ended


def test_a_stall_tells_what_each_of_its_lines_and_callbacks_took(loop):
    with loop.probe(threshold=0.05) as probe:
        loop.idle(1.0)
        loop.look(probe, 0.3)
        loop.look(probe, 0.6)
        loop.busy(0)
    (stall,) = probe.report().stalls
    assert sum(share.seconds for share in stall.lines) == pytest.approx(0.9, abs=0.011)
    assert sum(share.share for share in stall.lines) == pytest.approx(1.0, abs=0.02)
    assert stall.lines[0].where == stall.where
    assert stall.lines[0].code == stall.code
    told = stall.to_dict()["lines"][0]
    assert told["seconds"] == stall.lines[0].seconds
    assert told["where"] == stall.where


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([("a.py:1", 0.9)], ""),
        ([("a.py:1", 0.86), ("a.py:2", 0.04)], ""),
        ([("a.py:1", 0.6), ("a.py:2", 0.3)], "600 ms of it there, 300 ms at a.py:2"),
        (
            [("a.py:1", 0.4), ("b.py:2", 0.3), ("b.py:3", 0.2)],
            "400 ms of it there, 500 ms at 2 other lines, most at b.py:2",
        ),
        ([], ""),
    ],
)
def test_the_worst_line_is_named_with_how_many_others(lines, told):
    assert others(0.9, lines) == told


@pytest.mark.parametrize(
    ("work", "told"), [(0.0, "another thread"), (0.28, "unknown line")], ids=["waits", "computes"]
)
def test_an_iteration_that_ended_before_the_gil_could_be_had_is_another_threads_unless_it_computed(
    loop, monkeypatch, work, told
):
    with loop.probe() as probe:
        dog = probe._meter.watchdog
        seen = ran = Times(0.0, 0.0, 1)
        monkeypatch.setattr(dog._lateness._schedule, "read", lambda: seen)
        monkeypatch.setattr(dog._loop, "work", lambda: ran)
        for _ in range(20):
            loop.idle(0.01)
            seen = seen._replace(turns=seen.turns + 1)
            dog.look()
        loop.busy(0.3)
        loop.idle(0.001)
        seen = seen._replace(turns=seen.turns + 61)
        ran = Times(work, 0.0, 2)
        dog.look()
    (stall,) = probe.report().stalls
    assert stall.gil_held
    assert stall.where == told
