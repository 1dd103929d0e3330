"""The judgement of lab 01, on facts made up: each finding leads to its own reason."""

from copy import deepcopy
from pathlib import Path

import pytest

from loopclinic.lessons import Trial
from loopclinic.lessons.blocking_sleep.judgement import judge, praise

LINE = {"file": "lab.py", "line": 7, "code": "time.sleep(wait)"}
STALL = LINE | {"seconds": 0.4, "conflict": "blocking-sleep"}


def ending(how="returned", seconds=0.3, error=(), message="", value="'words'"):
    return {
        "how": how,
        "seconds": seconds,
        "value": value if how == "returned" else None,
        "error": error,
        "message": message,
        "place": LINE,
    }


def raised(name, *bases, seconds=0.3, message=""):
    said = f"{name}: {message}" if message else name
    return ending("raised", seconds, [name, *bases], said)


def quiet(count, requests, alone):
    return {
        "endings": [ending() for _ in range(count)],
        "right": [True] * count,
        "requests": [requests] * count,
        "alone": alone,
        "waits": [0.1, 0.2],
        "busy": 0.05,
        "cpu": 0.9,
        "stall": None,
        "place": LINE,
        "nested": False,
    }


def refused(requests, status=0):
    return {
        "ending": raised("TranscriptionError", seconds=0.02),
        "requests": requests,
        "status": status,
        "place": LINE,
    }


def cancelled():
    return {
        "ending": ending("cancelled", 0.001),
        "requests_after": 0,
        "left": 3,
        "calls": 3,
        "place": LINE,
    }


def crowd(**values):
    return {
        "callers": 130,
        "flaky": 100,
        "nominal": 0.84,
        "flaky_p90": 0.9,
        "healthy_p90": 0.03,
        "waits": [0.12, 0.24, 0.48],
        "ideal": [0.12, 0.24, 0.48],
        "request": 0.02,
        "failures": 3,
        "unfinished": 0,
        "wrong": 0,
        "failed": None,
        "lag": 0.001,
        "lag_p99": 0.01,
        "threads": 0,
        "nested": False,
        "stall": None,
        "place": LINE,
    } | values


@pytest.fixture
def facts():
    late = raised("TimeoutError", "OSError", seconds=0.5)
    return deepcopy(
        {
            "plain": quiet(2, 1, 0.2),
            "retried": quiet(4, 3, 0.3),
            "permanent": refused(1, 404),
            "busy_service": refused(3),
            "broken": refused(3),
            "last": refused(1),
            "hanging": {"deadline": 0.5, "ending": late, "place": LINE},
            "endless": {"deadline": 0.4, "requests": 1.2, "ending": late, "place": LINE},
            "cancelled_wait": cancelled(),
            "cancelled_request": cancelled(),
            "shipped": crowd(lag=0.12, lag_p99=0.3, healthy_p90=0.4),
            "crowd": crowd(),
        }
    )


def reasons(facts):
    return judge(Trial(lesson="01_blocking_sleep", seed=1, facts=facts, lab=Path("lab.py")))


def conflicts(facts):
    return [reason.conflict for reason in reasons(facts)]


def test_a_lab_that_keeps_everything_passes(facts):
    assert reasons(facts) == []
    sentence = praise(Trial(lesson="", seed=1, facts=facts, lab=Path("lab.py")))
    assert "100 callers" in sentence
    assert "10 ms" in sentence
    assert "300 ms" in sentence


def test_blocked_wait_names_line_share_and_victims(facts):
    facts["retried"] |= {"busy": 0.98, "cpu": 0.02, "stall": STALL}
    facts["crowd"]["healthy_p90"] = 0.41
    del facts["endless"], facts["cancelled_wait"]
    (reason,) = reasons(facts)
    assert reason.conflict == "blocking-retry"
    assert (reason.file, reason.line) == ("lab.py", 7)
    assert "`time.sleep(wait)`" in reason.sentence
    assert "98%" in reason.sentence
    assert "410 ms" in reason.sentence
    assert reason.measured == "98% busy"


@pytest.mark.parametrize(
    ("change", "conflict"),
    [
        ({"busy": 0.9, "cpu": 0.8, "stall": STALL}, "cpu-bound"),
        ({"busy": 0.9, "cpu": 0.8}, "cpu-bound"),
        ({"busy": 0.9, "cpu": 0.01}, "blocking-retry"),
        ({"nested": True}, "nested-loop"),
    ],
)
def test_what_keeps_the_loop_while_callers_wait(facts, change, conflict):
    facts["retried"] |= change
    assert conflicts(facts) == [conflict]


@pytest.mark.parametrize("seen", ["blocking-http", "blocking-net", "blocking-sleep", None])
def test_what_keeps_the_loop_during_a_request(facts, seen):
    facts["plain"] |= {"busy": 1.0, "cpu": 0.01, "stall": STALL | {"conflict": seen}}
    assert conflicts(facts) == [seen or "blocking-http"]


def test_busy_share_just_below_the_line_passes(facts):
    facts["retried"]["busy"] = 0.39
    assert conflicts(facts) == []


def test_nested_loop_by_its_error(facts):
    facts["retried"]["endings"][0] = raised(
        "RuntimeError", message="asyncio.run() cannot be called from a running event loop"
    )
    assert conflicts(facts) == ["nested-loop"]


@pytest.mark.parametrize(
    ("name", "change", "conflict"),
    [
        ("permanent", {"requests": 4}, "retry-storm"),
        ("busy_service", {"requests": 9}, "retry-storm"),
        ("broken", {"requests": 1}, None),
        ("last", {"ending": raised("TranscriptionError", seconds=1.0)}, None),
        ("permanent", {"ending": ending()}, None),
        ("broken", {"ending": raised("ClientOSError", "OSError")}, None),
        ("hanging", {"ending": ending("unfinished", 1.0)}, "missing-deadline"),
        ("endless", {"ending": ending("unfinished", 0.8)}, "missing-deadline"),
        ("hanging", {"ending": raised("TranscriptionError")}, "missing-deadline"),
        ("cancelled_wait", {"ending": ending("running", 0.8)}, "swallowed-cancellation"),
        ("cancelled_wait", {"ending": ending("cancelled", 0.8)}, "swallowed-cancellation"),
        ("cancelled_request", {"ending": raised("TranscriptionError")}, "swallowed-cancellation"),
        ("cancelled_request", {"left": 0}, "dropped-task"),
        ("cancelled_wait", {"requests_after": 2}, "dropped-task"),
        ("crowd", {"threads": 6}, "executor-saturation"),
        ("crowd", {"threads": 6, "flaky_p90": 9.0}, "executor-saturation"),
        ("crowd", {"threads": 6, "lag": 0.1}, "executor-saturation"),  # they compete with the loop
        ("crowd", {"flaky_p90": 9.0}, "sequential-awaits"),
        ("crowd", {"healthy_p90": 3.0, "request": 2.0, "flaky_p90": 3.0}, "sequential-awaits"),
        ("crowd", {"lag": 0.1, "stall": STALL}, "blocking-sleep"),
        ("crowd", {"lag": 0.1}, "cpu-bound"),
        ("crowd", {"waits": [0.0, 0.0, 0.0]}, "retry-storm"),
        ("endless", {"requests": 5.0}, "retry-storm"),
        ("crowd", {"waits": [0.12, 0.12, 0.12]}, "retry-storm"),
        ("crowd", {"waits": [0.2, 0.2, 0.2], "request": 0.1}, "retry-storm"),
        ("crowd", {"failed": raised("KeyError", message="x")}, None),
        ("crowd", {"wrong": 1}, None),
    ],
)
def test_one_finding_one_reason(facts, name, change, conflict):
    facts[name] |= change
    (reason,) = reasons(facts)
    assert reason.conflict == conflict, reason
    assert reason.next_step
    assert reason.sentence.endswith(".")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("crowd", {"waits": [0.06, 0.12, 0.24]}),  # full jitter
        ("crowd", {"waits": [0.52, 0.64, 0.88], "request": 0.4, "flaky_p90": 3.0}),  # slow machine
        ("crowd", {"waits": [0.46, 0.52, 0.64], "request": 0.4, "flaky_p90": 2.0}),  # and jittered
        ("crowd", {"waits": [0.6, 0.58, 0.66], "request": 0.5, "flaky_p90": 2.6}),  # overloaded
        ("crowd", {"waits": []}),
        ("crowd", {"lag": 0.03, "threads": 1}),
        ("endless", {"ending": raised("TimeoutError", seconds=0.0)}),  # it would not fit
        ("endless", {"ending": raised("TranscriptionError", seconds=0.3)}),  # used up before
    ],
)
def test_right_answers_in_other_clothes(facts, name, change):
    facts[name] |= change
    assert reasons(facts) == []


def test_swallowed_cancellation_explains_the_missed_deadline(facts):
    facts["cancelled_wait"]["ending"] = ending("running", 0.8)
    facts["hanging"]["ending"] = ending("running", 1.0)
    assert conflicts(facts) == ["swallowed-cancellation"]


def test_wrong_text_and_wrong_number_of_requests(facts):
    facts["plain"]["right"][1] = False
    facts["retried"]["requests"][0] = 6
    first, second = reasons(facts)
    assert "'words'" in first.sentence
    assert "6 requests instead of 3" in second.sentence


def test_wait_before_the_first_attempt(facts):
    facts["plain"]["endings"][0]["seconds"] = 1.9
    (reason,) = reasons(facts)
    assert "1.9 s" in reason.sentence


def test_waits_that_are_too_long_are_so_alone_and_in_a_crowd(facts):
    facts["retried"]["waits"] = [0.21, 0.41]
    assert reasons(facts) == []
    facts["crowd"]["waits"] = [0.26, 0.5, 0.98]
    (reason,) = reasons(facts)
    assert reason.conflict is None
    assert "260 ms, 500 ms, 980 ms" in reason.sentence
    facts["retried"]["waits"] = [0.1, 0.2]
    assert reasons(facts) == []


def test_root_comes_first(facts):
    facts["retried"] |= {"busy": 0.98, "cpu": 0.02, "stall": STALL}
    facts["hanging"]["ending"] = ending("unfinished", 1.0)
    facts["permanent"]["requests"] = 4
    assert conflicts(facts) == ["blocking-retry", "missing-deadline", "retry-storm"]
