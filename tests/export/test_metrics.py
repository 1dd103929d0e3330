"""Metrics that an exporter reads from a probe, on a loop with a fake clock."""

import pytest

from loopclinic.export.metrics import EDGES, Reader
from tests.probe.fakes import FakeLoop


@pytest.fixture
def loop():
    return FakeLoop()


def within(reading, edge):
    return reading.within[EDGES.index(edge)]


def test_lag_is_a_histogram_of_time(loop):
    with loop.probe(threshold=0.05) as probe:
        reader = Reader(probe)
        loop.idle(9.0)
        loop.busy(1.0)
        loop.idle(0.0)
        reading = reader.read()
    # Of ten seconds, one was busy: in its first 0.9 an event would have waited longer than 0.1.
    assert reading.seconds == pytest.approx(10.0)
    assert within(reading, 0.1) == pytest.approx(10 - 0.9, rel=0.01)
    assert within(reading, 0.5) == pytest.approx(10 - 0.5, rel=0.01)
    assert within(reading, 2.5) == pytest.approx(10.0)
    assert reading.waited == pytest.approx(0.5, rel=0.01)  # half of one second squared
    assert reading.busy == pytest.approx(1.0)
    assert reading.utilization == pytest.approx(0.1)


def test_totals_never_shrink_as_a_stall_begins_goes_on_and_ends(loop):
    with loop.probe(threshold=0.05) as probe:
        reader = Reader(probe)
        loop.idle(1.0)
        before = reader.read()
        for _ in range(8):
            loop.now += 0.4
            after = reader.read()
            assert all(new >= old for old, new in zip(before.within, after.within, strict=True))
            assert after.waited >= before.waited
            before = after
        loop.busy(0.0)
        loop.idle(0.5)
        after = reader.read()
        assert all(new >= old for old, new in zip(before.within, after.within, strict=True))
        assert within(after, 1.0) == pytest.approx(4.7 - 2.2, rel=0.01)


def test_stalls_are_counted_once_each_by_conflict(loop):
    with loop.probe(threshold=0.05) as probe:
        reader = Reader(probe)
        for _ in range(3):
            loop.idle(0.1)
            loop.busy(0.2)
            assert reader.read().stalls == reader.read().stalls
        reading = reader.read()
    assert sum(reading.stalls.values()) == 3
    assert reading.stalled == pytest.approx(0.6)


def test_more_stalls_than_a_probe_keeps_are_counted_all(loop):
    with loop.probe(threshold=0.05) as probe:
        reader = Reader(probe)
        for _ in range(2500):
            loop.idle(0.4)
            loop.busy(0.1)
            probe.tick(loop.now)
        assert len(probe.stalls) < 2500
        assert sum(reader.read().stalls.values()) == 2500


def test_lag_looks_back_over_a_minute_only(loop):
    with loop.probe(threshold=0.05) as probe:
        reader = Reader(probe)
        loop.idle(1.0)
        loop.busy(5.0)
        for _ in range(150):
            loop.idle(1.0)
            probe.tick(loop.now)
        reading = reader.read()
    assert reading.lag.max < 0.01
    assert within(reading, 1.0) == pytest.approx(156 - 4, rel=0.01)


def test_a_timers_lateness_looks_back_over_a_minute_too(loop):
    with loop.probe(threshold=0.05) as probe:
        reader = Reader(probe)
        loop.idle(1.0)
        loop.busy(2.0)
        loop.busy(1.0)
        assert reader.read().heartbeat == pytest.approx(3.0)
        for _ in range(150):
            loop.idle(1.0)
            probe.tick(loop.now)
        assert reader.read().heartbeat < 0.01


def test_reading_ends_with_the_probe_also_if_it_is_started_again(loop):
    probe = loop.probe().start()
    reader = Reader(probe)
    loop.idle(1.0)
    assert reader.read().seconds == pytest.approx(1.0)
    probe.stop()
    assert reader.read() is None
    probe.start()
    loop.idle(5.0)
    assert reader.read() is None
    assert Reader(probe).read().seconds == pytest.approx(5.0)


def test_a_probe_that_does_not_run_is_refused(loop):
    with pytest.raises(RuntimeError, match="start"):
        Reader(loop.probe())
