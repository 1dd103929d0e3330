"""Judging in lab 03's check on synthetic findings: a lab that keeps each promise, and ones that break one."""

from dataclasses import replace
from random import Random
from types import ModuleType, SimpleNamespace

import pytest

from loopclinic.lessons import lesson
from loopclinic.lessons.core import Place
from loopclinic.lessons.flask_bridge.check import CHECK, Load, Sigterm, Standstill
from loopclinic.lessons.flask_bridge.check_servers import Receivers
from loopclinic.lessons.flask_bridge.receiver_app import NEVER_AWAITED, Seen, Trouble
from loopclinic.servers.server_process import ServerError
from tests.lessons.core.findings import changed, judge

CONTRACT = lesson("03").promises
VIEW, CLOSE = Place("lab.py", 5, "def status(self):"), Place("lab.py", 9, "def close(self):")
HERE, POOL = Place("lab.py", 7, "future.result()"), Place("lab.py", 3, "await create_pool()")
SHIELD = Place("lab.py", 8, "await asyncio.shield(work)")
SEEN = Seen(view=VIEW, close=CLOSE)
RIGHT = {
    "Load": Load.Found(
        webhooks=40,
        deliveries=45,
        put_off=0,
        refused={},
        let_in=[],
        forged_stored=0,
        missing=0,
        miscounted=0,
        made=replace(SEEN, recorded=45, runs_at=HERE, opened_at=POOL, waits_at=HERE),
    ),
    "Standstill": Standstill.Found(
        answered={"503": 16},
        early=0,
        unanswered=0,
        seconds=0.61,
        sessions=4,
        waiting=4,
        middle=replace(SEEN, recording=8),
        after=SEEN,
        left=0,
        carried_out=0,
        refused={},
        missing=0,
        miscounted=0,
        errors=[],
    ),
    "Sigterm": Sigterm.Found(
        promised=7, lost=0, refused={}, latecomers=30, failed={}, closed=SEEN, after=SEEN
    ),
    "Death": None,
}
EARLY = {"Standstill__early": 8, "Standstill__answered": {"204": 8}}


def judged(**changes):
    return judge(CHECK, changed(RIGHT, changes), CONTRACT)


def error(message):
    return [Trouble(message, HERE)]


def test_a_trial_that_keeps_every_promise_passes():
    found = judged()
    assert found.reasons == ()
    assert {one.state for one in found.promises} == {"kept"}
    assert "7 webhooks in flight at SIGTERM none was lost" in found.praise


@pytest.mark.parametrize(
    ("changes", "conflict", "promise", "line"),
    [
        ({"Load__made__loops": 45}, "loop-per-call", 4, 7),
        ({"Load__made__opened": 47}, "too-many-connections", 4, 3),
        ({"Load__made__started": 45, "Load__made__started_at": HERE}, None, 4, 7),
        ({"Load__let_in": [("unsigned", 204)]}, None, 2, 5),
        ({"Load__forged_stored": 1}, None, 2, 5),
        ({"Load__miscounted": 2}, None, 1, 5),
        ({"Load__made__recorded": 3}, None, 1, 5),
        ({"Load__missing": 3}, None, 1, 5),
        ({"Load__refused": {"503": 40}, "Load__missing": 40}, "blocking-sync-primitive", 1, 7),
        ({"Load__refused": {"500": 40}, "Load__made__waits_at": None}, None, 1, 5),
        ({"Standstill__sessions": 8}, "too-many-connections", 4, 3),
        ({"Standstill__sessions": 8, "Load__made__opened": 47}, "too-many-connections", 4, 3),
        ({"Standstill__waiting": 1}, "sequential-awaits", 4, 3),
        ({"Standstill__waiting": 2, "Standstill__middle__recording": 2}, "sequential-awaits", 4, 5),
        ({"Standstill__unanswered": 8, "Standstill__seconds": 1.2}, "missing-deadline", 3, 5),
        ({"Standstill__left": 16, "Standstill__after__waits_at": HERE}, "unbounded-gather", 3, 7),
        (
            {"Standstill__left": 16, "Standstill__middle__tasks_at": [HERE, SHIELD]},
            "unbounded-gather",
            3,
            8,
        ),
        ({"Standstill__answered": {"500": 16}}, None, 3, 5),
        ({"Standstill__missing": 4}, None, 1, 5),
        ({"Standstill__carried_out": 16}, "unbounded-gather", 3, 5),
        ({"Standstill__miscounted": 1}, None, 3, 5),
        (EARLY, "dropped-task", 1, 5),
        ({"Sigterm__lost": 1}, "dropped-task", 1, 5),
        ({"Sigterm__closed__late": True}, "missing-deadline", 5, 9),
        ({"Sigterm__closed__closing": "RuntimeError: no"}, None, 5, 9),
        ({"Sigterm__refused": {"503": 3}}, "dropped-task", 5, 9),
        ({"Sigterm__refused": {"-1": 3}}, "dropped-task", 5, 9),
        ({"Sigterm__closed__connections": 4}, "unclosed-resource", 5, 9),
        (
            {
                "Sigterm__failed": {"500": 9},
                "Sigterm__after__errors": [Trouble("OSError: no", HERE)],
            },
            None,
            5,
            7,
        ),
        ({"Sigterm__failed": {"500": 9}}, None, 5, 9),
        (
            {"Sigterm__failed": {"-1": 8, "500": 8}, "Sigterm__after__waits_at": HERE},
            "dropped-task",
            5,
            7,
        ),
        ({"Sigterm__failed": {"204": 8}}, "dropped-task", 5, 9),
        (
            {"Sigterm__after__unseen": [Trouble("Unclosed client session", None)]},
            "unclosed-resource",
            5,
            9,
        ),
        (
            {"Sigterm__after__unseen": error("Task exception was never retrieved: KeyError: 'id'")},
            "dropped-task",
            1,
            7,
        ),
    ],
)
def test_a_broken_promise_is_named_with_its_line(changes, conflict, promise, line):
    found = judged(**changes)
    (reason,) = found.reasons
    assert (reason.conflict, reason.promise, reason.line) == (conflict, promise, line)
    assert reason.next_step
    assert [one.number for one in found.promises if one.state == "broken"] == [promise]


@pytest.mark.parametrize(
    ("messages", "conflict"),
    [
        (
            ["OSError: no", "RuntimeError: got Future attached to a different loop"],
            "loop-bound-primitive",
        ),
        (["RuntimeError: asyncio.run() cannot be called from a running event loop"], "nested-loop"),
        (["InterfaceError: cannot perform operation: another operation is in progress"], None),
    ],
)
def test_webhooks_that_fail_are_told_by_what_was_raised(messages, conflict):
    errors = [Trouble(one, HERE) for one in messages]
    (reason,) = judged(Load__refused={"500": 40}, Load__made__errors=errors).reasons
    assert reason.conflict == conflict
    assert messages[-1] in reason.sentence


@pytest.mark.parametrize(
    "changes",
    [
        {"Load__made__loops": 5},  # as many as there may be connections, once
        {"Load__made__opened": 11},
        {"Load__made__opened": 30, "Load__put_off": 10},  # each may cost a cancel and a connection
        {"Load__made__started": 8},
        {"Load__refused": {"503": 4}, "Load__missing": 0},  # a stumble of the machine's
        {"Load__made__recorded": 38},
        {"Standstill__waiting": 3},
        {"Standstill__left": 4},
        {"Standstill__seconds": 1.1},
        {"Standstill__refused": {"503": 2}},
    ],
)
def test_what_a_busy_machine_may_do_is_no_reason(changes):
    found = judged(**changes)
    assert found.reasons == ()
    assert {one.state for one in found.promises} == {"kept"}


@pytest.mark.parametrize(
    ("unanswered", "words"),
    [
        (8, "8 webhooks had no answer after 1.2 s: as many as there are threads"),
        (4, "4 of 8 webhooks"),
    ],
)
def test_webhooks_without_an_answer_are_set_against_the_threads(unanswered, words):
    (reason,) = judged(
        Standstill__unanswered=unanswered, Standstill__seconds=1.2, Standstill__after__waits_at=HERE
    ).reasons
    assert words in reason.sentence
    assert ("as many as there are threads" in reason.sentence) == (unanswered == 8)
    assert reason.line == 7


def test_a_pool_that_is_too_small_is_not_told_to_start_more():
    (small,) = judged(Standstill__waiting=1, Standstill__middle__recording=8).reasons
    (lane,) = judged(Standstill__waiting=1, Standstill__middle__recording=1).reasons
    assert "max_size=size" in small.next_step
    assert "Start each webhook's work at once" in lane.next_step


def test_connections_are_told_once():
    many = {"Load__made__opened": 47, "Standstill__sessions": 8}
    (reason,) = judged(**many).reasons
    assert "8 connections at once" in reason.sentence
    (reason,) = judged(**many, Load__missing=3).reasons  # they follow from what failed
    assert "3 were not in `updates`" in reason.sentence


def test_updates_that_were_lost_are_told_once():
    found = judged(
        **EARLY,
        Sigterm__lost=7,
        Sigterm__closed__connections=4,
        Load__made__started=45,
        Load__made__started_at=HERE,
    )
    (reason,) = found.reasons
    assert "7 of 7 updates were lost" in reason.sentence
    assert [one.number for one in found.promises if one.state == "kept"] == [2]


def test_webhooks_that_come_late_are_told_once_all_else_is_right():
    late = {"Sigterm__failed": {"-1": 8, "204": 1}}
    (reason,) = judged(**late).reasons
    assert "Of 30 webhooks that came after SIGTERM" in reason.sentence
    assert "8 times not at all, 1 time 204 and not stored" in reason.sentence
    found = judged(**late, Load__made__loops=45)
    assert [one.conflict for one in found.reasons] == ["loop-per-call"]
    assert [one.number for one in found.promises if one.state == "not-judged"] == [5]


def test_a_coroutine_that_is_never_awaited_comes_before_what_follows_from_it():
    unseen = error("Task exception was never retrieved") + error(f"{NEVER_AWAITED} `record()`")
    first, second = judged(Load__made__unseen=unseen, Load__missing=40).reasons
    assert (first.conflict, first.line, first.promise) == ("unawaited-coroutine", 7, 1)
    assert "40 were not in `updates`" in second.sentence


def test_a_forged_webhook_that_raises_is_told_with_its_line():
    (reason,) = judged(
        Load__let_in=[("altered", -1)], Load__made__errors=error("SystemExit: 3")
    ).reasons
    assert "(altered) was answered not at all. SystemExit: 3" in reason.sentence
    assert reason.line == 7


def test_connections_are_judged_where_webhooks_wait_for_the_database():
    for sessions in (1, 5, 8):  # as far as the lab came before the last of them was answered
        reasons = judged(Standstill__sessions=sessions, Standstill__waiting=0, **EARLY).reasons
        assert [one.conflict for one in reasons] == ["dropped-task"]


def test_what_does_not_open_is_the_only_reason():
    trouble = Trouble("Receiver(dsn) could not be served: OSError: no", HERE)
    found = judge(CHECK, {**dict.fromkeys(RIGHT), "Death": trouble}, CONTRACT)
    (reason,) = found.reasons
    assert "OSError: no" in reason.sentence
    assert (reason.file, reason.line) == ("lab.py", 7)
    assert "__init__" in reason.next_step
    assert {one.state for one in found.promises} == {"not-judged"}


def test_a_server_that_died_is_told_beside_what_was_seen_before():
    died = Trouble("In the middle of it, the receiver's server ended with exit status 3.", None)
    found = judge(CHECK, {**RIGHT, "Standstill": None, "Sigterm": None, "Death": died}, CONTRACT)
    (reason,) = found.reasons
    assert "ended with exit status 3" in reason.sentence
    assert (reason.line, reason.next_step[:20]) == (5, "Nothing in a lab may")
    assert [one.number for one in found.promises if one.state == "kept"] == [2]


def test_a_lab_that_stores_nothing_is_judged_by_its_load_alone():
    load = changed(
        RIGHT["Load"], {"refused": {"500": 8}, "made__errors": error("ValueError: what")}
    )
    (reason,) = judge(CHECK, {**dict.fromkeys(RIGHT), "Load": load}, CONTRACT).reasons
    assert "ValueError: what" in reason.sentence


@pytest.mark.parametrize(
    ("message", "detail", "told", "line"),
    [
        (
            "the server ended with exit status 3: the lab left at ...",
            'File "lab.py", line 9\nthe lab left at File "lab.py", line 4\n',
            "In between, the server ended with exit status 3.",
            4,
        ),
        (
            "the server was killed by signal 11: Extension modules: a, b",
            'Stack (most recent call first):\n  File "c.py", line 1\n  File "lab.py", line 5\n  File "lab.py", line 9',
            "In between, the server was killed by signal 11.",
            5,
        ),
        (
            "hosted:Hosted could not be started: OSError: no",
            'File "lab.py", line 9\nFile "lab.py", line 6\nOSError: no',
            "In between, OSError: no",
            6,
        ),
        (
            "the server ended with exit status 1.",
            'File "lab.py", line 9',
            "In between, the server",
            1,
        ),
    ],
)
def test_what_ends_a_server_is_told_with_the_line_of_the_lab(message, detail, told, line):
    lab = ModuleType("lab")
    lab.__file__, lab.Receiver = "lab.py", object
    stage = SimpleNamespace(rng=Random(1), services={"postgres": "postgresql://nowhere/it"})
    receivers = Receivers(lab, stage)
    receivers.died("In between, ", ServerError(message, detail), Place("lab.py", 1))
    said, place = receivers.end
    assert said.startswith(told)
    assert place.line == line
