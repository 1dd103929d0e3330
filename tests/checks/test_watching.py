"""Watching a lab: a verdict on every save, the newest save wins, one watch for each lab."""

import threading
import time

import pytest

from loopclinic.checks.watching import Watching
from loopclinic.verdict import Verdict

PASSED = Verdict("77_tiny", "passed")
STOPPED = Verdict("77_tiny", "could-not-run")


def until(condition, seconds=10.0):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.01)


def save(path, text):
    """Save in one step: a file that is written in place is seen half-way, too."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


class Recorder:
    def __init__(self, path, check):
        self.events, self.verdicts = [], []
        self.watching = Watching(
            path,
            check,
            on_start=lambda: self.events.append("start"),
            on_step=self.events.append,
            on_verdict=self.verdicts.append,
        )


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "77_tiny.py"
    file.write_text("one")
    return file


def test_each_save_is_checked_and_nothing_else(path):
    recorder = Recorder(path, lambda on_step, stop: PASSED)
    recorder.watching.start()
    time.sleep(0.5)
    assert recorder.verdicts == []
    for number in (1, 2):
        save(path, "x" * (10 + number))
        until(lambda n=number: len(recorder.verdicts) == n)
    recorder.watching.stop()
    assert not recorder.watching.running
    assert recorder.events == ["start", "start"]


def test_a_save_by_renaming_and_a_removal_are_seen(path):
    recorder = Recorder(path, lambda on_step, stop: PASSED)
    recorder.watching.start(check_now=True)
    until(lambda: len(recorder.verdicts) == 1)
    save(path, "two")
    until(lambda: len(recorder.verdicts) == 2)
    path.unlink()
    until(lambda: len(recorder.verdicts) == 3)
    recorder.watching.stop()


def test_the_newest_save_wins(path):
    begun = threading.Semaphore(0)

    def check(on_step, stop):
        text = path.read_text()
        begun.release()
        if text == "slow":
            until(stop)
            return STOPPED
        return PASSED

    recorder = Recorder(path, check)
    path.write_text("slow")
    recorder.watching.start(check_now=True)
    assert begun.acquire(timeout=10)
    save(path, "quick")
    until(lambda: recorder.verdicts)
    recorder.watching.stop()
    assert recorder.verdicts == [PASSED]


def test_stop_ends_a_check_that_runs(path):
    begun = threading.Event()

    def check(on_step, stop):
        begun.set()
        until(stop)
        return STOPPED

    recorder = Recorder(path, check)
    recorder.watching.start(check_now=True)
    assert begun.wait(10)
    recorder.watching.stop()
    assert not recorder.watching.running
    assert recorder.verdicts == []
