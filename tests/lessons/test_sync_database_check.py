"""Judging in lab 02's check on synthetic findings: a lab that keeps each promise, and ones that break one."""

from dataclasses import replace

import pytest

from loopclinic.lessons import lesson
from loopclinic.lessons.core import Ending, Loop, Place, Stall
from loopclinic.lessons.database.postgres_verdicts import Cancel, Gathered, Served, Stuck
from loopclinic.lessons.database.sessions import Session
from loopclinic.lessons.sync_database.check import (
    CHECK,
    Cancelled,
    Crowd,
    Failing,
    Family,
    Line,
    Stored,
    Work,
)
from loopclinic.verdict import Reason
from tests.lessons.core.findings import changed, judge

CONTRACT = lesson("02").promises
HERE = Place("lab.py", 7, "await do()")
ENDED = Ending("returned", 0.1, HERE, value="1")
CLOSED = Served(closing=None, left=0, stuck=None)
WORK = Work([ENDED], [True], asked_each=True, stored=Stored([1], [1], [], []))
CANCELLED = Cancel([Ending("cancelled", 0.01, HERE)], [], 0.0, HERE)
QUIET = Loop(0.6, 0.0, 0.02, 0.5, 0.0, 0.0, 0, None, HERE, nested=False)
RIGHT = {
    "Line": Line.Found(CLOSED, WORK, QUIET, []),
    "Crowd": Crowd.Found(
        CLOSED,
        Gathered(10, [], None, in_pool=False),
        WORK,
        thread=0.002,
        place=HERE,
        early=[],
        peak=6,
        opened=6,
        most_active=6,
    ),
    "Family": Family.Found(CLOSED, Gathered(2, [], None, in_pool=False), WORK),
    "Cancelled": Cancelled.Found(CLOSED, CANCELLED, CANCELLED, [], [ENDED]),
    "Failing": Failing.Found(
        CLOSED, Ending("raised", 0.1, HERE, message="ModelError"), True, [], touched=False
    ),
}


def judged(left_behind=(), **changes):
    return judge(CHECK, changed(RIGHT, changes), CONTRACT, left_behind)


def stall(seconds, conflict="blocking-db"):
    return Stall(Place("lab.py", 9, "cursor.execute()"), seconds, conflict)


def session(state="idle in transaction", wait="Client", blocked_by=()):
    return Session("1", 1, state, wait, 0.0, "select", list(blocked_by))


def test_a_trial_that_keeps_every_promise_passes():
    found = judged()
    assert found.reasons == ()
    assert {one.state for one in found.promises} == {"kept"}
    assert "10 audits shared 6 connections" in found.praise


RAISED = Ending("raised", 0.1, HERE, message="E: no")


@pytest.mark.parametrize(
    ("changes", "conflict", "promise", "words"),
    [
        ({"Line__work__right": [False]}, None, 1, "not the number of answers"),
        ({"Crowd__work__asked_each": False}, None, 1, "did not ask each"),
        ({"Crowd__early": [3]}, None, 2, "not all in one transaction"),
        ({"Line__work__stored__wrong": [5]}, None, 2, "(audit 5)"),
        ({"Family__work__stored__miscounted": [1]}, None, 2, "miscounted"),
        ({"Crowd__gathered__asking": 6, "Crowd__gathered__in_pool": True}, "pool-starvation", 3, "6"),
        ({"Crowd__gathered__asking": 6, "Crowd__gathered__holding": [session()]}, "pool-starvation", 3, "1 idle in"),
        ({"Crowd__gathered__asking": 6}, "sequential-awaits", 3, "no transaction open"),
        ({"Crowd__gathered__holding": [session()]}, "pool-starvation", 3, "all got to ask, with"),
        ({"Family__gathered__asking": 1}, "sequential-awaits", 3, "Of two audits of one company, 1"),
        ({"Crowd__peak": 7}, "too-many-connections", 4, "7 connections at once"),
        ({"Crowd__opened": 13}, "too-many-connections", 4, "13 connections in all"),
        ({"Crowd__most_active": 2}, "sequential-awaits", 4, "2 of 6"),
        ({"Line__stalls": [stall(0.09)] * 3}, "blocking-db", 5, "stopped it 3 times"),
        ({"Line__stalls": [stall(0.09, "blocking-sync-primitive")] * 3}, "blocking-sync-primitive", 5, "`cursor.execute()`"),
        ({"Line__loop__nested": True}, "nested-loop", 5, "inside the running one"),
        ({"Crowd__thread": 0.26}, "executor-saturation", 5, "260 ms"),
        ({"Failing__models": False}, None, 6, "run raised ModelError instead"),
        ({"Failing__touched": True}, None, 6, "something of that audit"),
        ({"Failing__open": [session()]}, "transaction-left-open", 6, "stayed open"),
        ({"Cancelled__asking__open": [session()], "Cancelled__asking__seconds": 0.52}, "transaction-left-open", 7, "its transaction did not"),
        ({"Cancelled__storing__open": [session()]}, "transaction-left-open", 7, "stored its responses"),
        ({"Cancelled__storing__stored": 1}, "dropped-task", 7, "committed later"),
        ({"Cancelled__storing__endings": [ENDED]}, "swallowed-cancellation", 7, "returned 1 instead"),
        ({"Cancelled__asking__endings": [Ending("cancelled", 0.6, HERE)]}, "swallowed-cancellation", 7, "600 ms"),
        ({"Cancelled__after": [Ending("broken-off", 1.2)]}, "unclosed-resource", 7, "no connection"),
        ({"Cancelled__after": [RAISED]}, None, 7, "failed: one raised E: no"),
        ({"Crowd__served__left": 1}, "unclosed-resource", 8, "1 connection stayed"),
        ({"Failing__served__closing": RAISED}, "unclosed-resource", 8, "it raised E: no"),
        ({"Cancelled__miscounted": [3]}, None, 2, "counted all the same"),
        ({"Failing__served__tasks": 1}, "dropped-task", 8, "1 task kept running"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_named(changes, conflict, promise, words):
    found = judged(**changes)
    (reason,) = found.reasons
    assert (reason.conflict, reason.promise) == (conflict, promise)
    assert words in reason.sentence
    assert reason.next_step
    assert [one.number for one in found.promises if one.state == "broken"] == [promise]


@pytest.mark.parametrize(
    "changes",
    [
        {"Line__stalls": [stall(0.2)]},
        {"Line__stalls": [stall(0.03)] * 9},
        {"Line__stalls": [stall(0.09)] * 2},
        {"Line__stalls": [stall(0.4, "cpu-bound")]},
        {"Crowd__opened": 12},
        {"Crowd__most_active": 3},
        {"Crowd__thread": 0.24},
        {"Cancelled__asking__endings": [Ending("cancelled", 0.49, HERE)]},
    ],
)
def test_a_budget_just_kept_is_kept(changes):
    assert judged(**changes).reasons == ()


def test_a_service_that_does_not_open_is_one_reason():
    closed = Line.Found(Served(opening=RAISED), None, None, None)
    found = judge(CHECK, dict.fromkeys(RIGHT) | {"Line": closed}, CONTRACT)
    (reason,) = found.reasons
    assert reason.sentence == "`async with Audits(...)` gave no service: it raised E: no."
    assert {one.state for one in found.promises} == {"not-judged"}


def test_a_service_that_does_not_open_in_a_later_scene_is_told_there():
    closed = Crowd.Found(Served(opening=RAISED), *[None] * 8)
    left_out = dict.fromkeys(RIGHT) | {"Line": RIGHT["Line"], "Crowd": closed}
    found = judge(CHECK, left_out, CONTRACT)
    (reason,) = found.reasons
    assert "gave no service" in reason.sentence
    assert "kept" not in {one.state for one in found.promises}


def test_hangs_come_first_and_say_what_postgresql_saw():
    waiting = [session(), session("active", "Lock", [1])]
    row, line, pool = judged(
        Line__stalls=[stall(0.09)] * 3,
        Crowd__served__stuck=Stuck(stall(0.8, "pool-starvation"), [session()] * 6),
        Family__served__stuck=Stuck(stall(0.8), waiting),
        Cancelled__served__stuck=Stuck(stall(0.9), []),  # of the same kind as the one before
    ).reasons
    assert (row.conflict, line.conflict, pool.conflict) == (
        "blocking-db",
        "blocking-db",
        "pool-starvation",
    )
    assert "1 idle in transaction, 1 waiting for a lock" in row.sentence
    assert "With a round trip of" in line.sentence
    assert "6 idle in transaction" in pool.sentence


def test_a_line_whose_call_was_broken_off_is_still_told_by_its_stalls():
    stuck = Stuck(stall(3.0), [])
    (reason,) = judged(Line__served__stuck=stuck, Line__stalls=[stall(3.1)]).reasons
    assert "stopped the loop for 3.1 s" in reason.sentence


def test_what_a_scene_found_whose_call_was_broken_off_is_not_judged():
    found = judged(
        Crowd__served__stuck=Stuck(stall(0.8, "pool-starvation"), []),
        Crowd__work__endings=[Ending("broken-off", 0.8)],
        Crowd__work__right=[False],
        Crowd__served__left=3,
    )
    assert [one.conflict for one in found.reasons] == ["pool-starvation"]
    states = {one.number: one.state for one in found.promises}
    assert states[5] == "broken"
    assert {states[number] for number in (1, 2, 3, 4, 8)} == {"not-judged"}


def test_a_dry_pool_that_raises_is_told_once():
    error = ("PoolTimeout", "OperationalError")
    ending = Ending("raised", 0.3, HERE, message="PoolTimeout: no connection", error=error)
    found = judged(
        Crowd__gathered__asking=6, Crowd__work__endings=[ending], Crowd__work__right=[False]
    )
    dry, failed = sorted(found.reasons, key=lambda one: one.promise, reverse=True)
    assert dry.conflict == "pool-starvation"
    assert "One gave up: PoolTimeout: no connection." in dry.sentence
    assert failed.promise == 1


def test_a_shield_at_the_line_that_waited_is_named_as_the_cause():
    shield = replace(HERE, code="await asyncio.shield(self.store(audit))")
    case = replace(CANCELLED, place=shield)
    for broken in (replace(case, open=[session()]), replace(case, stored=1)):
        (reason,) = judged(Cancelled__storing=broken).reasons
        assert "`asyncio.shield` keeps its work from being cancelled" in reason.sentence
        assert "without asyncio.shield" in reason.next_step


def test_the_time_shown_of_an_open_transaction_is_the_one_that_decided():
    (reason,) = judged(Cancelled__asking__open=[session()], Cancelled__asking__seconds=0.52).reasons
    assert (reason.measured, reason.budget) == ("open 520 ms after the end", "500 ms after the end")


@pytest.mark.parametrize(
    "changes",
    [
        {"Crowd__gathered__asking": 6, "Crowd__gathered__in_pool": True},
        {"Line__stalls": [stall(0.4)] * 3},
    ],
)
def test_audits_that_could_not_be_done_for_a_reason_given_are_no_second_one(changes):
    late = {"Crowd__work__endings": [Ending("broken-off", 2.0)], "Crowd__work__right": [False]}
    assert len(judged(**changes, **late).reasons) == 1
    (reason,) = judged(**late).reasons
    assert (reason.promise, reason.timed) == (1, True)


def test_tasks_of_a_pool_that_is_not_closed_are_no_second_reason():
    tasks = [Reason("1 task still ran (f).", conflict="dropped-task", promise=8)]
    assert [one.conflict for one in judged(tasks).reasons] == ["dropped-task"]
    found = judged(tasks, Line__served__left=1)
    assert [one.conflict for one in found.reasons] == ["unclosed-resource"]


def test_one_connection_for_all_is_told_by_its_error():
    error = "InterfaceError: cannot perform operation: another operation is in progress"
    ending = Ending("raised", 0.1, HERE, message=error, error=("InterfaceError",))
    (reason,) = judged(Line__work__endings=[ending], Line__work__right=[False]).reasons
    assert reason.conflict is None
    assert "one unit of work at a time" in reason.next_step


def test_a_loop_inside_the_loop_is_the_only_reason():
    error = "RuntimeError: asyncio.run() cannot be called from a running event loop"
    ending = Ending("raised", 0.1, HERE, message=error, error=("RuntimeError",))
    failed = {"work__endings": [ending], "work__right": [False]}
    changes = {
        f"{scene}__{k}": v for scene in ("Line", "Crowd", "Family") for k, v in failed.items()
    }
    found = judged(**changes, Failing__models=False, Cancelled__after=[ending])
    assert [one.conflict for one in found.reasons] == ["nested-loop"]
