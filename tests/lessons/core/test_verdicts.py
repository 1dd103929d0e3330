"""Verdicts that lessons share: what they say of a finding, and when they say that a promise is kept."""

from dataclasses import replace

import pytest

from loopclinic.lessons.core import Budget, Ending, Kept, Left, Loop, Place, Stall
from loopclinic.lessons.core.verdicts import (
    blocked,
    cancelled_cleanly,
    deadline_kept,
    nested_loop,
    reported,
)

HERE = Place("lab.py", 7, "time.sleep(1)")
LOOP = Loop(0.4, 0.3, 0.1, 0.1, 0.001, 0.01, 0, stall=None, waited=HERE, nested=False)
BUSY = Budget(0.4, "of the time", "a right answer is busy for a tenth of it")
CANCEL = Budget(0.5, "s", "a right answer takes a few milliseconds")
DEADLINE = Budget(2.0, "x the deadline", "a right answer takes 1")
CANCELLED = Ending("cancelled", 0.01, HERE)
TIMEOUT = Ending("raised", 0.5, HERE, message="TimeoutError", error=("TimeoutError", "OSError"))


def judge_blocked(loop, **options):
    return list(blocked(loop, BUSY, "calls waited", promise=3, next_step="Await.", **options))


def test_an_idle_loop_keeps_its_promise():
    assert judge_blocked(LOOP) == [Kept(3)]


@pytest.mark.parametrize(
    ("stall", "options", "conflict"),
    [
        ("blocking-db", {}, "blocking-db"),
        ("blocking-db", {"conflict": "blocking-retry"}, "blocking-retry"),
        (None, {"otherwise": "blocking-http"}, "blocking-http"),
        ("cpu-bound", {"conflict": "blocking-retry"}, "cpu-bound"),
    ],
)
def test_a_busy_loop_is_named_by_its_stall(stall, options, conflict):
    busy = replace(LOOP, busy=0.9, stall=Stall(HERE, 0.3, stall))
    (reason,) = judge_blocked(busy, also=" Others waited.", **options)
    assert (reason.conflict, reason.line, reason.promise) == (conflict, 7, 3)
    assert "90%" in reason.sentence
    assert ("Others waited" in reason.sentence) == (conflict != "cpu-bound")


def test_a_line_that_was_reported_is_not_reported_again_and_keeps_nothing():
    busy = replace(LOOP, busy=0.9, stall=Stall(HERE, 0.3, "blocking-db"))
    assert judge_blocked(busy, reported=HERE) == []


@pytest.mark.parametrize(
    ("ending", "options", "conflict", "words", "measured"),
    [
        (CANCELLED, {}, None, "", ""),
        (replace(CANCELLED, seconds=0.6), {"late": False}, None, "", ""),
        (
            replace(CANCELLED, seconds=0.6),
            {},
            "swallowed-cancellation",
            "it was cancelled, and took 600 ms instead",
            "600 ms",
        ),
        (
            replace(CANCELLED, how="running", seconds=0.5),
            {},
            "swallowed-cancellation",
            "and kept running instead",
            "still running after 500 ms",
        ),
        (
            CANCELLED,
            {"sent": 83, "left": Left(4)},
            "dropped-task",
            "sent 83 more requests",
            "83 requests after the end",
        ),
        (CANCELLED, {"still_open": 1}, "dropped-task", "kept its request open", "1 request after"),
        (CANCELLED, {"left": Left(4)}, "dropped-task", "left 4 tasks at work", "4 tasks"),
    ],
)
def test_a_number_that_is_shown_is_the_one_that_decided(ending, options, conflict, words, measured):
    said = list(
        cancelled_cleanly(
            ending, CANCEL, "it was cancelled", promise=6, next_step="", owned="", **options
        )
    )
    if conflict is None:
        assert said == [Kept(6)]
    else:
        (reason,) = said
        assert (reason.conflict, reason.promise) == (conflict, 6)
        assert words in reason.sentence
        assert reason.measured.startswith(measured)


def judge_deadline(ending, **options):
    return list(deadline_kept(ending, 0.5, DEADLINE, "it waits", promise=5, place=HERE, **options))


def test_a_deadline_is_kept_by_its_own_error_in_time():
    assert judge_deadline(TIMEOUT) == [Kept(5)]
    (late,) = judge_deadline(replace(TIMEOUT, seconds=1.1))
    assert late.measured == "2.2 x the deadline"
    (stuck,) = judge_deadline(replace(TIMEOUT, how="running", seconds=1.0))
    assert stuck.measured == "still running after 2.0 x the deadline"
    other = replace(TIMEOUT, error=("KeyError",), message="KeyError: 'x'")
    (wrong,) = judge_deadline(other)
    assert "raised KeyError: 'x' instead of raising TimeoutError" in wrong.sentence
    assert wrong.measured is None
    assert judge_deadline(other, otherwise="KeyError") == []


def test_a_nested_loop_is_known_by_its_error_and_by_its_frames():
    says = "RuntimeError: asyncio.run() cannot be called from a running event loop"
    (reason,) = nested_loop([TIMEOUT, replace(TIMEOUT, message=says)], LOOP)
    assert says in reason.sentence
    (reason,) = nested_loop([TIMEOUT], replace(LOOP, nested=True))
    assert reason.line == 7
    assert list(nested_loop([TIMEOUT], LOOP)) == []


def test_what_asyncio_reported_is_one_reason_with_the_first_line():
    error = "Task exception was never retrieved: KeyError: 'id'"
    (reason,) = reported([(error, HERE), (error, None)], promise=1, least="at least ")
    assert (
        reason.sentence == f"asyncio reported at least 2 unseen errors, at `{HERE.code}`: {error}."
    )
    assert (reason.conflict, reason.promise, reason.line) == ("dropped-task", 1, HERE.line)
    assert (reason.measured, reason.budget) == ("at least 2 unseen errors", "0 unseen errors")
    (reason,) = reported([("Unclosed client session", None)])
    assert (reason.conflict, reason.measured) == ("unclosed-resource", "1 unclosed object")
    assert list(reported([])) == []
