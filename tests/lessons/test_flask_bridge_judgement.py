"""The judgement of lab 03, on facts made up: which conflict is named, and which is not."""

from dataclasses import replace

import pytest

from loopclinic.lessons.flask_bridge import LESSON
from loopclinic.lessons.flask_bridge.judgement import judge, praise
from tests.lessons.trials import trial

PLACE = {"file": "lab.py", "line": 7, "code": "future.result()"}

FACTS = {
    "opening": None,
    "load": {
        "webhooks": 40,
        "deliveries": 45,
        "refused": {},
        "let_in": [],
        "forged_stored": 0,
        "missing": 0,
        "miscounted": 0,
        "loops": 0,
        "recorded": 45,
        "runs_at": PLACE,
        "waits_at": PLACE,
        "errors": [],
        "threads": 1,
    },
    "standstill": {
        "timeout": 0.6,
        "size": 4,
        "wave": 8,
        "waves": 2,
        "left": 0,
        "waiting": 4,
        "sessions": 4,
        "unanswered": 0,
        "early": 0,
        "seconds": 0.61,
        "waits_at": PLACE,
        "answered": {"503": 16},
        "refused": {},
        "missing": 0,
        "miscounted": 0,
        "errors": [],
    },
    "end": {
        "under_way": 7,
        "grace": 3.0,
        "late": False,
        "closing": None,
        "waits_at": PLACE,
        "connections": 0,
        "errors": [],
        "promised": 7,
        "lost": 0,
        "refused": {},
        "unanswered": 0,
        "latecomer": 503,
    },
}


def _trial(**changes):
    return trial(LESSON, FACTS, **changes)


def _judged(**changes):
    return judge(_trial(**changes))


def _error(message):
    return {"type": message.partition(":")[0], "message": message, "place": PLACE}


def test_a_right_answer_has_no_reason_and_is_praised_with_numbers():
    assert _judged() == []
    assert "7 webhooks under way at SIGTERM none was lost" in praise(_trial())


@pytest.mark.parametrize(
    ("changes", "conflict"),
    [
        ({"load__loops": 45}, "loop-per-call"),
        (
            {
                "load__refused": {"500": 40},
                "load__errors": [_error("RuntimeError: got Future attached to a different loop")],
            },
            "loop-bound-primitive",
        ),
        (
            {
                "load__refused": {"500": 40},
                "load__errors": [
                    _error("RuntimeError: asyncio.run() cannot be called from a running event loop")
                ],
            },
            "nested-loop",
        ),
        ({"load__refused": {"503": 40}, "load__missing": 40}, "blocking-sync-primitive"),
        ({"load__let_in": [{"kind": "unsigned", "status": 204}]}, None),
        ({"load__miscounted": 2}, None),
        ({"load__recorded": 3}, None),
        ({"load__missing": 3}, None),
        ({"standstill__sessions": 8}, "unbounded-gather"),
        ({"standstill__waiting": 1}, "sequential-awaits"),
        ({"standstill__unanswered": 8, "standstill__seconds": 1.2}, "missing-deadline"),
        ({"standstill__left": 16}, "unbounded-gather"),
        ({"standstill__answered": {"500": 16}}, None),
        ({"standstill__missing": 4}, None),
        ({"standstill__miscounted": 1}, None),
        ({"standstill__early": 8, "standstill__answered": {"204": 8}}, "dropped-task"),
        ({"end__lost": 1}, "dropped-task"),
        ({"end__late": True}, "missing-deadline"),
        ({"end__closing": "RuntimeError: no"}, None),
        ({"end__refused": {"503": 3}}, "dropped-task"),
        ({"end__unanswered": 3}, "dropped-task"),
        ({"end__connections": 4}, "unclosed-resource"),
        ({"end__latecomer": 500}, None),
    ],
)
def test_what_is_wrong_is_called_by_its_name(changes, conflict):
    reasons = _judged(**changes)
    assert [one.conflict for one in reasons] == [conflict], reasons
    assert all(one.next_step for one in reasons)


@pytest.mark.parametrize(
    "changes",
    [
        {"load__loops": 5},  # as many as there may be connections, once
        {"load__refused": {"503": 4}, "load__missing": 0},  # a stumble of the machine's
        {"load__recorded": 38},
        {"standstill__waiting": 3},
        {"standstill__left": 4},
        {"standstill__seconds": 1.1},
        {"standstill__refused": {"503": 2}},
        {"end__latecomer": 204},
        {"end__latecomer": 0},
    ],
)
def test_what_a_busy_machine_may_do_is_no_reason(changes):
    assert _judged(**changes) == []


def test_updates_that_were_lost_are_told_once():
    reasons = _judged(
        standstill__early=8, standstill__answered={"204": 8}, end__lost=7, end__connections=4
    )
    assert [one.conflict for one in reasons] == ["dropped-task"]
    assert "7 of 7 updates were lost" in reasons[0].sentence


def test_connections_are_judged_where_webhooks_wait_for_the_database():
    early = {"standstill__early": 8, "standstill__answered": {"204": 8}}
    for sessions in (1, 5, 8):  # as far as the lab came before the last of them was answered
        reasons = _judged(standstill__sessions=sessions, standstill__waiting=0, **early)
        assert [one.conflict for one in reasons] == ["dropped-task"]


def test_what_does_not_open_is_the_only_reason():
    (reason,) = _judged(opening={"message": "OSError: no", "place": PLACE})
    assert "OSError: no" in reason.sentence
    assert (reason.file, reason.line) == ("lab.py", 7)


def test_a_server_that_died_is_the_only_reason():
    whole = _trial()
    died = "the receiver's server ended with exit status 3."
    (reason,) = judge(replace(whole, facts={"opening": None, "died": died}))
    assert "ended with exit status 3" in reason.sentence
    assert reason.next_step


def test_a_lab_that_stores_nothing_is_judged_by_its_load_alone():
    whole = _trial(load__refused={"500": 8}, load__errors=[_error("ValueError: what")])
    facts = {name: whole.facts[name] for name in ("opening", "load")}
    (reason,) = judge(replace(whole, facts=facts))
    assert "ValueError: what" in reason.sentence
