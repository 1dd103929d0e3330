"""The judgement of lab 02, on facts made up: which conflict is named, and which is not."""

import pytest

from loopclinic.lessons.sync_database import LESSON
from loopclinic.lessons.sync_database.judgement import judge, praise
from tests.lessons.trials import trial

PLACE = {"file": "lab.py", "line": 7, "code": "do()"}
FINE = {"opening": None, "closing": None, "stuck": None, "left": 0}


def _returned(seconds=0.1):
    return {"how": "returned", "seconds": seconds, "audit": 1, "value": "1", "right": True}


def _session(state="idle in transaction", wait="Client", blocked_by=()):
    return {"state": state, "wait_type": wait, "transaction": 0.6, "blocked_by": list(blocked_by)}


def _facts():
    ended = {"how": "cancelled", "seconds": 0.01, "audit": 1, "place": None}
    cancel = {"endings": [ended], "forgotten": 0.0, "open": [], "place": PLACE}
    return {
        "line": {**FINE, "line": 0.08, "endings": [_returned()], "busy": 0.02, "stalls": []},
        "crowd": {
            **FINE,
            "size": 6,
            "audits": 10,
            "asking": 10,
            "waits_at": None,
            "holding": [],
            "thread": 0.002,
            "storing_at": PLACE,
            "early": [],
            "asked": [True],
            "endings": [_returned()],
            "stored": {"wrong": [], "miscounted": []},
            "peak": 6,
            "sessions": 6,
            "most_active": 6,
        },
        "family": {
            **FINE,
            "asking": 2,
            "endings": [_returned()],
            "stored": {"wrong": [], "miscounted": []},
        },
        "cancelled": {
            **FINE,
            "asking": cancel,
            "storing": {**cancel, "stored": []},
            "after": [_returned()],
        },
        "failing": {
            **FINE,
            "ending": {"how": "raised", "seconds": 0.1, "model": True, "message": "ModelError"},
            "touched": [],
            "open": [],
        },
        "leftovers": {"tasks": []},
    }


def _judged(**changes):
    return judge(trial(LESSON, _facts(), **changes))


def _stall(seconds, conflict="blocking-db"):
    return {**PLACE, "seconds": seconds, "first_seen": 0.01, "conflict": conflict}


def test_a_lab_that_keeps_its_contract_has_no_reasons():
    assert _judged() == []
    assert "10 audits shared 6 connections" in praise(trial(LESSON, _facts()))


@pytest.mark.parametrize(
    ("changes", "conflict"),
    [
        ({"line__stalls": [_stall(0.09)] * 3}, "blocking-db"),
        (
            {"line__stalls": [_stall(0.09, "blocking-sync-primitive")] * 3},
            "blocking-sync-primitive",
        ),
        ({"crowd__asking": 6}, "pool-starvation"),
        ({"crowd__most_active": 1}, "sequential-awaits"),
        ({"crowd__peak": 10}, "unbounded-gather"),
        ({"crowd__sessions": 20}, None),
        ({"crowd__thread": 0.4}, "executor-saturation"),
        ({"crowd__early": [3]}, None),
        ({"family__stored": {"wrong": [], "miscounted": [1]}}, None),
        ({"cancelled__asking__open": [_session()]}, "transaction-left-open"),
        ({"cancelled__storing__open": [_session()]}, "transaction-left-open"),
        ({"cancelled__storing__stored": [1]}, "dropped-task"),
        ({"cancelled__storing__endings": [_returned()]}, "swallowed-cancellation"),
        ({"cancelled__after": [{"how": "running", "seconds": 1.2}]}, "unclosed-resource"),
        ({"failing__ending": _returned()}, None),
        ({"failing__touched": [1]}, None),
        ({"failing__open": [_session()]}, "transaction-left-open"),
        ({"crowd__left": 1}, "unclosed-resource"),
        ({"leftovers__tasks": [{"coroutine": "f"}]}, "dropped-task"),
        ({"line__opening": {"how": "raised", "message": "E: no", "place": None}}, None),
    ],
)
def test_one_thing_wrong_is_one_reason(changes, conflict):
    (reason,) = _judged(**changes)
    assert reason.conflict == conflict
    assert reason.next_step


@pytest.mark.parametrize(
    "stalls",
    [
        [_stall(0.2)],
        [_stall(0.03)] * 9,
        [_stall(0.09)] * 2,
        [{**_stall(0.4), "conflict": "cpu-bound"}],
    ],
)
def test_a_stumble_of_the_machine_is_no_reason(stalls):
    assert _judged(line__stalls=stalls) == []


def test_hangs_say_what_postgresql_saw():
    stuck = {**_stall(0.8), "times": 1}
    waiting = [_session(), _session("active", "Lock", [1])]
    dry = {**stuck, "conflict": "pool-starvation", "sessions": [_session()] * 6}
    row, pool = _judged(crowd__stuck=dry, family__stuck={**stuck, "sessions": waiting})
    assert row.conflict == "blocking-db"
    assert "1 idle in transaction, 1 waiting for a lock" in row.sentence
    assert pool.conflict == "pool-starvation"
    assert "6 idle in transaction" in pool.sentence


def test_a_pool_that_is_not_closed_is_told_once():
    reasons = _judged(line__left=1, leftovers__tasks=[{"coroutine": "f"}])
    assert [one.conflict for one in reasons] == ["unclosed-resource"]


def test_one_connection_for_all_is_told_by_its_error():
    error = "InterfaceError: cannot perform operation: another operation is in progress"
    ending = {"how": "raised", "error": ["InterfaceError"], "message": error, "seconds": 0.1}
    (reason,) = _judged(line__endings=[{**ending, "place": PLACE}])
    assert reason.conflict is None
    assert "one unit of work at a time" in reason.next_step
