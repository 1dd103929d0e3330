"""The judgement of lab 13, on facts made up: which conflict is named, and which is not."""

import pytest

from loopclinic.lessons.standardize import LESSON
from loopclinic.lessons.standardize.broken import BROKEN
from loopclinic.lessons.standardize.judgement import judge, praise
from tests.lessons.trials import trial

PLACE = {"file": "lab.py", "line": 7, "code": "do()"}
FINE = {"opening": None, "closing": None, "left": 0}
RETURNED = {"how": "returned", "seconds": 0.1, "value": "1", "place": None}
RUNNING = {"how": "running", "seconds": 1.2, "place": PLACE}
CANCELLED = {"how": "cancelled", "seconds": 0.01, "place": None}
DRIVERS = {
    "how": "raised",
    "seconds": 0.1,
    "error": ["UniqueViolation"],
    "message": "UniqueViolation: twice",
    "own": False,
    "declined": False,
    "place": PLACE,
}
RIGHT_RUN = {"status": 0, "tests": 6, "failed": [], "unawaited": []}


def _refused(name):
    return {**DRIVERS, "error": [name, "BillingError"], "message": f"{name}: no", "own": True}


def _gaps(counted=3, right=True):
    numbers = ["2031-00001", "2031-00002", "2031-00003"]
    return {"numbers": numbers, "counted": counted, "right": right}


def _facts():
    cancel = {"endings": [CANCELLED], "forgotten": 0.0, "open": 0, "place": PLACE}
    caught = {name: {**RIGHT_RUN, "status": 1} for name in BROKEN}
    return {
        "suite": {"runs": {"": RIGHT_RUN, **caught}, "hung": None, "said": ""},
        "scan": {"failed": None, "findings": []},
        "line": {
            **FINE,
            "line": 0.08,
            "endings": {"get": RETURNED},
            "wrong": [],
            "busy": 0.02,
            "stalls": [],
        },
        "crowd": {
            **FINE,
            "size": 4,
            "charges": 10,
            "issued": [RETURNED] * 10,
            "gaps": _gaps(),
            "asking": 10,
            "holding": 0,
            "waits_at": PLACE,
            "thread": 0.002,
            "booking_at": PLACE,
            "endings": [RETURNED],
            "unpaid": 0,
            "peak": 4,
            "most_active": 4,
        },
        "race": {
            **FINE,
            "endings": [RETURNED, _refused("AlreadyPaid")],
            "entry": {"paid": 4250, "total": 4250},
        },
        "cancelled": {
            **FINE,
            "early": 0,
            "issue": cancel,
            "charge": {**cancel},
            "stored": 0,
            "booked": 0,
            "after": [RETURNED],
            "gaps": _gaps(),
        },
        "gone": {**FINE, "ending": _refused("BillingUnavailable"), "after": [RETURNED]},
        "refused": {
            **FINE,
            "open": {},
            "gaps": _gaps(),
            "declined_paid": 0,
            "refused_paid": 0,
            "endings": {
                "declined": {**DRIVERS, "declined": True},
                "invalid": _refused("InvalidInvoice"),
                "duplicate": _refused("DuplicatePayment"),
                "overpaid": _refused("Overpaid"),
                "unknown get": _refused("InvoiceNotFound"),
            },
        },
        "leftovers": {"tasks": []},
    }


def _judged(**changes):
    return judge(trial(LESSON, _facts(), **changes))


def _stall(seconds=0.09, conflict="blocking-db"):
    return {**PLACE, "seconds": seconds, "conflict": conflict}


def _finding(kind):
    return {"kind": kind, "message": "It blocks.", "file": "a.py", "line": 3, "chain": []}


def test_a_lab_that_keeps_its_contract_has_no_reasons():
    assert _judged() == []
    assert "10 charges shared 4 connections" in praise(trial(LESSON, _facts()))


@pytest.mark.parametrize(
    ("changes", "conflict", "said"),
    [
        ({"line__stalls": [_stall()] * 3}, "blocking-db", "stopped the loop for 90 ms"),
        ({"line__endings__get": {**RUNNING}}, None, "`get` was not over after 1.2 s"),
        ({"line__wrong": ["get gives the lines"]}, None, "Not so: get gives the lines"),
        ({"crowd__asking": 4, "crowd__holding": 4}, "pool-starvation", "Only 4 of 10 charges"),
        (
            {"crowd__issued": [RETURNED, DRIVERS], "crowd__asking": 1},
            None,
            "Of 2 issues at once, 1",
        ),
        ({"crowd__holding": 4}, "pool-starvation", "4 transactions open"),
        ({"crowd__asking": 1}, "sequential-awaits", "Only 1 of 10 charges"),
        ({"crowd__thread": 0.4}, "executor-saturation", "waited 400 ms for a thread"),
        ({"crowd__most_active": 1}, "sequential-awaits", "one at a time"),
        ({"crowd__peak": 9}, "unbounded-gather", "9 connections at one moment"),
        ({"crowd__endings": [RUNNING]}, None, "1 did not return"),
        ({"crowd__unpaid": 2}, None, "2 are not stored as paid"),
        ({"crowd__gaps": _gaps(counted=4)}, None, "came to 4, for 3 invoices"),
        ({"cancelled__gaps": _gaps(right=False)}, None, "The counter came to 3"),
        ({"race__entry": {"paid": 8500, "total": 4250}}, None, "both were booked"),
        ({"race__entry": {"paid": 0, "total": 4250}}, None, "none was booked"),
        ({"cancelled__early": 1}, None, "could already see a part"),
        ({"cancelled__issue__open": 1}, "transaction-left-open", "1 transaction open"),
        ({"cancelled__charge__endings": [RETURNED]}, "swallowed-cancellation", "a charge"),
        ({"cancelled__issue__endings": [RUNNING]}, "swallowed-cancellation", "not over after"),
        ({"cancelled__stored": 1}, "dropped-task", "went on"),
        ({"cancelled__booked": 4250}, "dropped-task", "booked all the same"),
        ({"cancelled__after": [RUNNING]}, "unclosed-resource", "After two cancelled calls"),
        ({"gone__ending": DRIVERS}, None, "a connection that is gone"),
        ({"gone__after": [RUNNING]}, None, "no call got through"),
        ({"refused__endings__duplicate": DRIVERS}, None, "a reference twice"),
        ({"refused__endings__overpaid": RETURNED}, None, "a payment of more than is open"),
        ({"refused__endings__declined": RETURNED}, None, "what the gateway raises"),
        ({"refused__open": {"invalid": 1}}, "transaction-left-open", "(invalid)"),
        ({"refused__declined_paid": 100}, None, "100 cents"),
        ({"race__left": 2}, "unclosed-resource", "2 connections stayed open"),
        ({"crowd__closing": RUNNING}, "unclosed-resource", "was not over"),
        ({"leftovers__tasks": [{"coroutine": "f"}]}, "dropped-task", "1 task still ran"),
        ({"line__opening": {**DRIVERS}}, None, "gave no service"),
        ({"scan__findings": [_finding("loop-per-call")]}, "loop-per-call", "It blocks."),
        ({"scan__failed": "no such folder"}, None, "came to no end"),
        ({"suite__hung": "test_a"}, None, "stood still for 10.0 s, in test_a"),
        ({"suite__runs": {}}, None, "could not be run"),
        ({"suite__runs": {"": RIGHT_RUN}}, None, "no class BillingService"),
        ({"suite__runs__": {**RIGHT_RUN, "status": 5, "tests": 0}}, None, "no test was found"),
        (
            {"suite__runs__": {**RIGHT_RUN, "unawaited": ["coroutine 'f' was never awaited"]}},
            "unawaited-coroutine",
            "coroutine 'f'",
        ),
        ({"suite__runs__gateway__status": 0}, None, BROKEN["gateway"][1]),
    ],
)
def test_one_thing_wrong_is_one_reason(changes, conflict, said):
    (reason,) = _judged(**changes)
    assert reason.conflict == conflict
    assert said in reason.sentence
    assert reason.next_step


@pytest.mark.parametrize("stalls", [[_stall(0.2)], [_stall(0.03)] * 9, [_stall(0.4, "cpu-bound")]])
def test_a_stumble_of_the_machine_is_no_reason(stalls):
    assert _judged(line__stalls=stalls) == []


def test_what_was_measured_is_not_told_again_by_the_scanner():
    (reason,) = _judged(line__stalls=[_stall()] * 3, scan__findings=[_finding("blocking-db")] * 2)
    assert "90 ms" in reason.sentence


def test_tests_that_fail_are_named_and_broken_services_are_not_told():
    failed = {"name": "test_a", "file": "test_a.py", "line": 9, "message": "assert 1\nwhere"}
    run = {**RIGHT_RUN, "status": 1, "failed": [failed, failed]}
    (reason,) = _judged(suite__runs={"": run})
    assert reason.sentence == "test_a failed, and 1 more: assert 1"
    assert (reason.file, reason.line) == ("test_a.py", 9)


def test_a_blocked_lab_is_not_asked_what_locks_would_tell():
    made = trial(LESSON, _facts(), line__stalls=[_stall()] * 5)
    for name in ("crowd", "race", "cancelled", "gone"):
        made.facts.pop(name)
    assert [one.conflict for one in judge(made)] == ["blocking-db"]
