"""Judging in lab 01's check on synthetic findings: each leads to its own reason, and to its promise."""

from dataclasses import replace

import pytest

from loopclinic.lessons import lesson
from loopclinic.lessons.blocking_sleep.check import CHECK, Arrived, Beside, Crowd
from loopclinic.lessons.blocking_sleep.check_calls import Ended, Few, Refusals, Refused
from loopclinic.lessons.core import Ending, Loop, Place, Stall
from tests.lessons.core.findings import changed, judge

CONTRACT = lesson("01").promises
LINE = Place("lab.py", 7, "time.sleep(wait)")
STALL = Stall(LINE, 0.4, "blocking-sleep")
LOCK = Place("lab.py", 8, "async with lock:")
RETURNED = Ending("returned", 0.3, LINE, value="'words'")
LATE = replace(RETURNED, how="broken-off", seconds=1.0, value="")
CANCELLED = Ending("cancelled", 0.001, LINE)
QUIET = Loop(
    seconds=0.4,
    alone=0.3,
    busy=0.05,
    computing=0.9,
    lag=0.001,
    lag_p99=0.01,
    threads=0,
    stall=None,
    waited=LINE,
    nested=False,
)


def raised(name, *bases, seconds=0.3, message="", during=()):
    said = f"{name}: {message}" if message else name
    names = (name, *bases)
    return Ending("raised", seconds, LINE, message=said, error=names, during=(*names, *during))


GAVE_UP = raised("TranscriptionError", seconds=0.02)
ENDED = Ended(
    0.5,
    raised("TimeoutError", "OSError", seconds=0.5),
    LINE,
    begun=False,
    requests=1.2,
    cancelled=CANCELLED,
    requests_after=0,
    still_open=0,
)
YOURS = Arrived(
    flaky=100,
    healthy=30,
    flaky_p90=0.9,
    healthy_p90=0.03,
    request=0.02,
    ideal=[0.12, 0.24, 0.48],
    waits=[0.12, 0.24, 0.48],
    wrong=None,
    loop=QUIET,
)
SHIPPED = replace(YOURS, healthy_p90=0.4, loop=replace(QUIET, lag=0.12, lag_p99=0.3))
RIGHT = {
    "Plain": Few([RETURNED] * 2, ["words"] * 2, [1] * 2, [], replace(QUIET, alone=0.2)),
    "Retried": Few([RETURNED] * 4, ["words"] * 4, [4] * 4, [0.1, 0.2], QUIET),
    "Refusals": Refusals.Found(
        {404: Refused(GAVE_UP, 1, LINE), 502: Refused(GAVE_UP, 1, LINE)},
        Refused(GAVE_UP, 3, LINE),
        Refused(GAVE_UP, 3, LINE),
        Refused(GAVE_UP, 1, LINE),
    ),
    "Hanging": ENDED,
    "Endless": replace(ENDED, deadline=0.4),
    "Crowd": Crowd.Found(YOURS, SHIPPED),
    "Beside": Beside.Found(RETURNED, LINE),
}


def judged(**changes):
    return judge(CHECK, changed(RIGHT, changes), CONTRACT)


def conflicts(**changes):
    return [reason.conflict for reason in judged(**changes).reasons]


def test_a_lab_that_keeps_everything_passes():
    found = judged()
    assert found.reasons == ()
    assert {one.state for one in found.promises} == {"kept"}
    assert "100 callers" in found.praise
    assert "10 ms" in found.praise
    assert "300 ms" in found.praise


BLOCKED = {"Retried__loop__busy": 0.98, "Retried__loop__computing": 0.02}


def test_a_blocked_wait_names_line_share_and_victims():
    found = judged(
        **BLOCKED, Retried__loop__stall=STALL, Crowd__yours__healthy_p90=0.41, Endless=None
    )
    (reason,) = found.reasons
    assert reason.conflict == "blocking-retry"
    assert (reason.file, reason.line) == ("lab.py", 7)
    assert "`time.sleep(wait)`" in reason.sentence
    assert "98%" in reason.sentence
    assert "410 ms" in reason.sentence
    assert reason.measured == "98% busy"
    states = {one.number: one.state for one in found.promises}
    assert states[7] == "broken"
    assert states[4] == states[5] == "not-judged"


@pytest.mark.parametrize(
    ("computing", "stall", "conflict"),
    [(0.8, STALL, "cpu-bound"), (0.8, None, "cpu-bound"), (0.01, None, "blocking-retry")],
)
def test_what_keeps_the_loop_while_callers_wait(computing, stall, conflict):
    changes = BLOCKED | {"Retried__loop__computing": computing, "Retried__loop__stall": stall}
    assert conflicts(**changes) == [conflict]


@pytest.mark.parametrize("seen", ["blocking-http", "blocking-net", "blocking-sleep", None])
def test_what_keeps_the_loop_during_a_request(seen):
    loop = replace(QUIET, busy=1.0, computing=0.01, stall=replace(STALL, conflict=seen))
    assert conflicts(Plain__loop=loop) == [seen or "blocking-http"]


def test_a_line_that_blocks_twice_is_reported_once():
    loop = replace(QUIET, busy=1.0, computing=0.01, stall=STALL)
    assert conflicts(Plain__loop=loop, Retried__loop=loop) == ["blocking-sleep"]


def test_busy_share_just_below_the_line_passes():
    assert conflicts(Retried__loop__busy=0.39) == []


def test_a_loop_inside_the_loop_is_all_there_is_to_say():
    assert conflicts(Retried__loop__nested=True, Crowd__yours__wrong=RETURNED) == ["nested-loop"]
    says = "asyncio.run() cannot be called from a running event loop"
    endings = [raised("RuntimeError", message=says), *[RETURNED] * 3]
    assert conflicts(Retried__endings=endings) == ["nested-loop"]


@pytest.mark.parametrize(
    ("changes", "conflict", "promise"),
    [
        ({"Refusals__for_good": {502: Refused(GAVE_UP, 4, LINE)}}, "retry-storm", 3),
        ({"Refusals__busy__requests": 9}, "retry-storm", 2),
        ({"Refusals__broken__requests": 1}, None, 2),
        ({"Refusals__last__ending__seconds": 1.0}, None, 2),
        ({"Refusals__for_good": {404: Refused(RETURNED, 1, LINE)}}, None, 3),
        ({"Refusals__broken__ending": raised("ClientOSError", "OSError")}, None, 2),
        ({"Hanging__bounded": LATE}, "missing-deadline", 5),
        ({"Endless__bounded": LATE}, "missing-deadline", 5),
        ({"Hanging__bounded": GAVE_UP}, "missing-deadline", 5),
        ({"Endless__cancelled": Ending("running", 0.8)}, "swallowed-cancellation", 6),
        ({"Endless__cancelled__seconds": 0.8}, "swallowed-cancellation", 6),
        ({"Hanging__cancelled": GAVE_UP}, "swallowed-cancellation", 6),
        ({"Hanging__still_open": 3}, "dropped-task", 6),
        ({"Endless__requests_after": 2}, "dropped-task", 6),
        ({"Beside__ending": GAVE_UP}, None, 7),
        ({"Beside__ending__how": "running"}, "sequential-awaits", 7),
        ({"Crowd__yours__loop__threads": 6}, "executor-saturation", 7),
        (
            {"Crowd__yours__loop__threads": 6, "Crowd__yours__flaky_p90": 9.0},
            "executor-saturation",
            7,
        ),
        (  # they compete with the loop
            {"Crowd__yours__loop__threads": 6, "Crowd__yours__loop__lag": 0.1},
            "executor-saturation",
            7,
        ),
        (
            {"Crowd__yours__flaky_p90": 9.0, "Crowd__yours__loop__waited": LOCK},
            "sequential-awaits",
            7,
        ),
        ({"Crowd__yours__flaky_p90": 9.0}, None, 4),
        (
            {
                "Crowd__yours__healthy_p90": 3.0,
                "Crowd__yours__request": 2.0,
                "Crowd__yours__flaky_p90": 3.0,
                "Crowd__yours__loop__waited": LOCK,
            },
            "sequential-awaits",
            7,
        ),
        (
            {"Crowd__yours__loop__lag": 0.1, "Crowd__yours__loop__stall": STALL},
            "blocking-sleep",
            7,
        ),
        ({"Crowd__yours__loop__lag": 0.1}, "cpu-bound", 7),
        ({"Crowd__yours__waits": [0.0, 0.0, 0.0]}, "retry-storm", 4),
        ({"Endless__requests": 5.0}, "retry-storm", 4),
        ({"Crowd__yours__waits": [0.12, 0.12, 0.12]}, "retry-storm", 4),
        (
            {"Crowd__yours__waits": [0.2, 0.2, 0.2], "Crowd__yours__request": 0.1},
            "retry-storm",
            4,
        ),
        ({"Crowd__yours__wrong": raised("KeyError", message="x")}, None, 1),
        ({"Crowd__yours__wrong": RETURNED}, None, 1),
        ({"Plain__texts": ["words", "others"]}, None, 1),
        ({"Crowd__yours__healthy_p90": 0.9}, "sequential-awaits", 7),
        ({"Refusals__for_good": {404: Refused(replace(GAVE_UP, seconds=0.9), 1, LINE)}}, None, 3),
        ({"Retried__requests": [6, 3, 3, 3]}, None, 1),
        ({"Plain__endings": [replace(RETURNED, seconds=1.9), RETURNED]}, None, 1),
    ],
)
def test_one_finding_one_reason(changes, conflict, promise):
    found = judged(**changes)
    (reason,) = found.reasons
    assert (reason.conflict, reason.promise) == (conflict, promise)
    assert reason.next_step
    assert reason.sentence.endswith(".")
    assert [one.number for one in found.promises if one.state == "broken"] == [promise]


@pytest.mark.parametrize(
    "changes",
    [
        {"waits": [0.06, 0.12, 0.24]},  # full jitter
        {"waits": [0.52, 0.64, 0.88], "request": 0.4, "flaky_p90": 3.0},  # slow machine
        {"waits": [0.46, 0.52, 0.64], "request": 0.4, "flaky_p90": 2.0},  # and jittered
        {"waits": [0.6, 0.58, 0.66], "request": 0.5, "flaky_p90": 2.6},  # overloaded
        {"loop__lag": 0.03, "loop__threads": 1},
    ],
)
def test_right_answers_in_other_clothes(changes):
    assert conflicts(**{f"Crowd__yours__{name}": value for name, value in changes.items()}) == []


def test_a_deadline_that_comes_early_is_one():
    assert conflicts(Endless__bounded__seconds=0.0) == []  # the next wait would not fit
    used_up = judged(Endless__bounded=raised("TranscriptionError", seconds=0.3))
    assert "promise 5 could not be put to the test" in used_up.reasons[0].sentence
    assert used_up.promises[4].state == "not-judged"


def test_a_deadline_that_is_there_is_not_asked_for_again():
    hidden = raised("TranscriptionError", seconds=0.5, during=("TimeoutError",))
    (reason,) = judged(Hanging__bounded=hidden).reasons
    assert reason.next_step.startswith("Let TimeoutError out")
    assert reason.measured is None


def test_swallowed_cancellation_explains_the_missed_deadline():
    assert conflicts(
        Endless__cancelled=Ending("running", 0.8), Hanging__bounded=replace(LATE, how="running")
    ) == ["swallowed-cancellation"]


def test_waits_that_are_too_long_are_so_alone_and_in_a_crowd():
    assert conflicts(Retried__waits=[0.21, 0.41]) == []
    crowd = {"Crowd__yours__waits": [0.26, 0.5, 0.98]}
    assert conflicts(**crowd) == []
    (reason,) = judged(Retried__waits=[0.21, 0.41], **crowd).reasons
    assert (reason.conflict, reason.promise) == (None, 4)
    assert "260 ms, 500 ms, 980 ms" in reason.sentence
    assert reason.measured == "2.07 x backoff * 2**n among four callers"


def test_the_root_comes_first():
    assert conflicts(
        **BLOCKED,
        Retried__loop__stall=STALL,
        Hanging__bounded=LATE,
        Refusals__for_good={404: Refused(GAVE_UP, 4, LINE)},
    ) == ["blocking-retry", "missing-deadline", "retry-storm"]
