"""Judging in lab 13's check on synthetic findings: a lab that keeps each promise, and ones that break one."""

import pytest

from loopclinic.lessons import lesson
from loopclinic.lessons.core import Ending, Loop, Place, Stall
from loopclinic.lessons.database.postgres_verdicts import Cancel, Gathered, Served, Stuck
from loopclinic.lessons.database.sessions import Session
from loopclinic.lessons.standardize.check import CHECK, Cancelled, Crowd, Gone, Race, Refused
from loopclinic.lessons.standardize.check_billing import (
    BillingCall,
    CardDeclinedError,
    CardGateway,
    Line,
    Numbers,
)
from loopclinic.lessons.standardize.mutants import MUTANTS
from loopclinic.lessons.standardize.static_check import Remark, Run, Static, Suite
from loopclinic.verdict import Reason
from tests.lessons.core.findings import changed, judge

CONTRACT = lesson("13").promises
HERE = Place("billing/service.py", 7, "await do()")
DEF = Place("billing/wiring.py", 3, "async def open_billing():")
CLOSED = Served(place=DEF)
ENDED = Ending("returned", 0.1, HERE, value="1")
LATE = Ending("broken-off", 1.2, HERE)
QUIET = Loop(0.6, 0.0, 0.02, 0.5, 0.0, 0.0, 0, None, HERE, nested=False)
NUMBERS = Numbers(["2031-00001", "2031-00002"], 2, right=True)
CANCELLED = Cancel([Ending("cancelled", 0.01, HERE)], [], 0.0, HERE)
IDLE = Session("1", 1, "idle in transaction", "Client", 0.0, "select", [])
TEST = Remark("tests/test_service.py::test_a", "", "tests/test_service.py", 9)
RUN = Run(0, 6, ["tests/test_service.py"], [], [])
MET = Run(0, 6, ["tests/test_service.py"], [], [], TEST)
CAUGHT = Run(1, 6, ["tests/test_service.py"], [TEST], [])


def raised(*names, cause=(), context=()):
    """An ending by an error of these names, whose `__cause__` and `__context__` have those."""
    related = (*names, *cause)
    return Ending(
        "raised",
        0.1,
        HERE,
        message=f"{names[0]}: no",
        error=names,
        related=related,
        during=(*related, *context),
    )


def own(name, cause=("Error",)):
    return raised(name, "BillingError", cause=cause)


RIGHT = {
    "Line": Line.Found(CLOSED, (), {"get": ENDED}, {}, QUIET),
    "Crowd": Crowd.Found(
        CLOSED,
        (ENDED,) * 10,
        NUMBERS,
        Gathered(10, [], HERE, in_pool=False),
        thread=0.002,
        books_at=HERE,
        endings=(ENDED,) * 10,
        peak=4,
        most_active=4,
    ),
    "Cancelled": Cancelled.Found(
        CLOSED, (ENDED,) * 2, CANCELLED, 0, CANCELLED, 0, CANCELLED, (ENDED,) * 3, NUMBERS
    ),
    "Race": Race.Found(
        CLOSED,
        (ENDED,) * 2,
        (own("AlreadyPaid", ()), ENDED),
        HERE,
        4250,
        4250,
        asking=2,
        charges=(ENDED, own("AlreadyPaid", ())),
    ),
    "Gone": Gone.Found(CLOSED, (ENDED,), own("BillingUnavailable"), (ENDED,)),
    "Refused": Refused.Found(
        CLOSED,
        (ENDED,) * 2,
        {
            "declined": raised("CardDeclinedError", "Exception"),
            "invalid": own("InvalidInvoice"),
            "duplicate": own("DuplicatePayment"),
            "overpaid": own("Overpaid", ()),
            "unknown get": own("InvoiceNotFound", ()),
            "unknown charge": own("InvoiceNotFound", ()),
            "unknown record_payment": own("InvoiceNotFound", ()),
        },
        numbers=NUMBERS,
    ),
    "Static": Static.Found(Suite({"": RUN, **dict.fromkeys(MUTANTS, CAUGHT)}, None, ""), [], None),
}


def judged(left_behind=(), **changes):
    return judge(CHECK, changed(RIGHT, changes), CONTRACT, left_behind)


def stall(seconds, conflict="blocking-db"):
    return Stall(Place("billing/repository.py", 9, "cursor.execute()"), seconds, conflict)


def finding(kind):
    return Remark(kind, "It blocks.", "billing/service.py", 3)


def test_a_trial_that_keeps_every_promise_passes():
    found = judged()
    assert found.reasons == ()
    assert {one.state for one in found.promises} == {"kept"}
    assert "10 charges shared 4 connections" in found.praise
    assert f"Your 6 tests caught {len(MUTANTS)} broken services" in found.praise


@pytest.mark.parametrize("code", ["await asyncio.to_thread(work)", "async with self.pool:"])
@pytest.mark.parametrize("conflict", [None, "blocking-sync-primitive", "blocking-net"])
def test_a_line_that_awaits_only_waited_for_a_processor_unless_a_probe_named_the_wait(
    code, conflict
):
    waited = Stall(Place("billing/service.py", 9, code), 0.4, conflict)
    found = judged(Line__stalls=(waited,) * 3)
    assert [one.conflict for one in found.reasons] == [conflict] * (conflict == "blocking-net")


LEAK = raised("UniqueViolation", "Error")


@pytest.mark.parametrize(
    ("changes", "conflict", "promise", "words"),
    [
        ({"Crowd__peak": 5}, "too-many-connections", 1, "5 connections at once, where `size` is 4"),
        ({"Crowd__most_active": 1}, "sequential-awaits", 1, "1 of 4 connections were in use"),
        ({"Race__served__left": 2}, "unclosed-resource", 1, "2 connections stayed open"),
        ({"Crowd__served__closing": LATE}, "unclosed-resource", 1, "was not done"),
        ({"Line__endings__get": LATE}, None, 2, "`get` was not done after 1.2 s"),
        ({"Line__wrong": {"get gives the lines": HERE}}, None, 2, "No longer true: get gives"),
        ({"Line__wrong": {"charge_now is gone": HERE}}, None, 2, "charge_now is gone"),
        ({"Line__loop__nested": True}, "nested-loop", 2, "inside the running one"),
        ({"Crowd__endings": (LEAK,) * 10}, None, 2, "Of 10 charges at once, 10 did not return"),
        ({"Refused__endings__unknown get": ENDED}, None, 2, "an invoice that is not there"),
        ({"Static__findings": [finding("loop-per-call")]}, "loop-per-call", 2, "It blocks."),
        ({"Line__stalls": (stall(0.09),) * 3}, "blocking-db", 3, "stopped the loop for 90 ms"),
        ({"Crowd__thread": 0.3}, "executor-saturation", 3, "300 ms"),
        ({"Crowd__issued": (LATE,) * 10, "Crowd__endings": ()}, None, 4, "10 issues at once, 10"),
        ({"Crowd__numbers": Numbers(["1"], 3, right=True)}, None, 4, "came to 3, for 1 invoice (1)"),
        ({"Refused__numbers": Numbers(["2", "3"], 0, right=False)}, None, 4, "came to 0"),
        ({"Crowd__unpaid": 2}, None, 4, "2 are not stored as paid in full"),
        ({"Cancelled__issue_early": 4}, None, 4, "While an invoice was being stored"),
        ({"Cancelled__payment_early": 4}, None, 4, "While a payment was being stored"),
        ({"Refused__open": ("invalid",)}, "transaction-left-open", 4, "(invalid)"),
        ({"Race__paid": 8500}, None, 5, "both were booked: 8500 of 4250 cents"),
        ({"Race__paid": 0}, None, 5, "none was booked"),
        ({"Race__endings": (ENDED, own("BillingUnavailable"))}, None, 5, "BillingUnavailable: no"),
        ({"Race__endings": (ENDED, ENDED)}, None, 5, "one returned 1, the other returned 1"),
        ({"Refused__endings__overpaid": ENDED}, None, 5, "a payment of more than is open"),
        ({"Refused__refused_paid": 100}, None, 5, "to be refused was booked: 100 cents"),
        ({"Crowd__gathered__asking": 4, "Crowd__gathered__holding": [IDLE] * 4}, "pool-starvation", 6, "Of 10 charges with 4 connections, 4 got to ask the gateway; the"),
        ({"Crowd__gathered__asking": 4, "Crowd__gathered__in_pool": True}, "pool-starvation", 6, "no connection left"),
        ({"Crowd__gathered__asking": 4}, "sequential-awaits", 6, "no transaction open"),
        ({"Crowd__gathered__holding": [IDLE] * 2}, "pool-starvation", 6, "all got to ask the gateway, with transactions open"),
        ({"Race__asking": 1}, "sequential-awaits", 6, "Of two charges of one invoice, 1"),
        ({"Refused__endings__declined": ENDED}, None, 6, "what the gateway raises"),
        ({"Refused__endings__declined": own("E", ("CardDeclinedError",))}, None, 6, "raised E: no"),
        ({"Refused__declined_paid": 100}, None, 6, "to be declined was booked"),
        ({"Cancelled__issue__open": [IDLE] * 2}, "transaction-left-open", 7, "An issue was cancelled while it stored, and ended; its transaction did not. PostgreSQL saw 2"),
        ({"Cancelled__payment__stored": 9}, "dropped-task", 7, "A payment was cancelled while it stored, and ended; its work kept running"),
        ({"Cancelled__issue__stored": 1}, "dropped-task", 7, "An issue was cancelled while it stored, and ended; its work kept running"),
        ({"Cancelled__charge__stored": 9}, "dropped-task", 7, "A charge was cancelled while it asked, and ended; its work kept running"),
        ({"Cancelled__charge__endings": (ENDED,)}, "swallowed-cancellation", 7, "returned 1"),
        ({"Cancelled__charge__endings": [Ending("running", 0.5, HERE)]}, "swallowed-cancellation", 7, "and kept running instead"),
        ({"Cancelled__after": (LATE,)}, "unclosed-resource", 7, "the next ones found no connection: one was not done"),
        ({"Cancelled__after": (LEAK,)}, None, 7, "the next ones failed: one raised"),
        ({"Gone__ending": LEAK}, None, 8, "a connection that is gone"),
        ({"Gone__ending": own("InvalidInvoice")}, None, 8, "For a connection that PostgreSQL ended"),
        ({"Gone__ending": own("BillingUnavailable", ())}, None, 8, "without the driver's error"),
        ({"Gone__after": (LATE,)}, None, 8, "no call got through"),
        ({"Refused__endings__duplicate": LEAK}, None, 8, "own error came out: UniqueViolation: no (a ref"),
        ({"Refused__endings__invalid": own("BillingUnavailable")}, None, 8, "a line of quantity 0"),
        ({"Refused__endings__invalid": raised("InvalidInvoice", "BillingError", context=("Error",))}, None, 8,
         "InvalidInvoice came out without the driver's error as its `__cause__` (a line"),
        ({"Static__suite__hung": TEST}, None, 9, "hung for 10.0 s, in tests/test_service.py::test_a"),
        ({"Static__suite__runs": {}}, None, 9, "could not be run"),
        ({"Static__suite__runs": {"": RUN}}, None, 9, "no class BillingService"),
        ({"Static__suite__runs": {"": Run(5, 0, [], [], [])}}, None, 9, "no test was found"),
        ({"Static__suite__runs": {"": CAUGHT}}, None, 9, "test_a failed."),
        ({"Static__suite__runs": {"": Run(0, 1, [], [], [TEST])}}, "unawaited-coroutine", 9, "do not await"),
        ({"Static__suite__runs__gateway": RUN}, None, 9, MUTANTS["gateway"].what),
        ({"Static__suite__runs__idle": MET}, None, 9, "test_a comes to where it differs, and passes"),
        ({"Static__findings": [finding("blocking-file-io")]}, "blocking-file-io", 10, "It blocks."),
        ({"Static__scan_failed": "no such folder"}, None, 10, "came to no end"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_named(changes, conflict, promise, words):
    found = judged(**changes)
    (reason,) = found.reasons
    assert (reason.conflict, reason.promise) == (conflict, promise)
    assert words in reason.sentence
    assert reason.next_step
    broken = {one.number for one in found.promises if one.state == "broken"}
    assert broken == ({2, 10} if conflict == "loop-per-call" else {promise})


@pytest.mark.parametrize(
    "changes",
    [
        {"Line__stalls": (stall(0.2),)},
        {"Line__stalls": (stall(0.03),) * 9},
        {"Line__stalls": (stall(0.4, "cpu-bound"),) * 3},
        {"Crowd__thread": 0.24},
        {"Crowd__numbers": Numbers(["1"], 0, right=True)},  # the counter is not used
        {"Gone__ending": ENDED},  # it tried again on another connection
        # Refused before the database was asked: there is no driver's error to name.
        {"Refused__endings__invalid": own("InvalidInvoice", ())},
        {"Refused__endings__declined": raised("ExceptionGroup", "BaseExceptionGroup", cause=("CardDeclinedError",))},
    ],
)  # fmt: skip
def test_what_a_right_answer_may_do_is_kept(changes):
    assert judged(**changes).reasons == ()


def test_most_reasons_name_a_line():
    for changes in (
        {"Crowd__peak": 5, "Crowd__books_at": None},
        {"Race__served__left": 1},
        {"Cancelled__issue_early": 4},
        {"Race__paid": 8500},
        {"Static__suite__hung": TEST},
    ):
        (reason,) = judged(**changes).reasons
        assert reason.line
    (reason,) = judged(Static__suite__runs__gateway=RUN).reasons
    assert (reason.file, reason.line) == ("tests/test_service.py", None)
    (reason,) = judged(Static__suite__runs__gateway=MET).reasons
    assert (reason.file, reason.line) == ("tests/test_service.py", 9)


def test_what_was_measured_is_not_told_again_by_the_scanner():
    found = judged(Line__stalls=(stall(0.09),) * 3, Static__findings=[finding("blocking-db")] * 2)
    assert ["90 ms" in one.sentence for one in found.reasons] == [True]
    assert {one.number: one.state for one in found.promises}[10] == "broken"


def test_charge_now_that_runs_a_loop_is_told_once():
    found = judged(
        Line__wrong={"charge_now is gone": HERE},
        Static__findings=[finding("loop-per-call")],
    )
    assert [one.conflict for one in found.reasons] == ["loop-per-call"]


def test_a_billing_that_does_not_open_is_one_reason_beside_those_of_its_source():
    left_out = dict.fromkeys(RIGHT) | {
        "Line": Line.Found(Served(opening=LEAK)),
        "Static": changed(RIGHT["Static"], {"findings": [finding("loop-per-call")]}),
    }
    opening, scan = sorted(
        judge(CHECK, left_out, CONTRACT).reasons, key=lambda one: one.conflict or ""
    )
    assert "gave no service: it raised UniqueViolation: no" in opening.sentence
    assert scan.conflict == "loop-per-call"


def test_a_blocked_lab_is_not_asked_what_locks_would_tell():
    left_out = {**RIGHT, **dict.fromkeys(("Crowd", "Cancelled", "Race", "Gone"))}
    found = judge(CHECK, changed(left_out, {"Line__stalls": (stall(0.09),) * 5}), CONTRACT)
    assert [one.conflict for one in found.reasons] == ["blocking-db"]
    states = {one.number: one.state for one in found.promises}
    assert (states[3], states[7], states[9]) == ("broken", "not-judged", "kept")


def test_a_hang_says_what_postgresql_saw_and_nothing_that_follows_from_it():
    waits = Session("1", 1, "active", "Lock", 0.1, "select", [2])
    found = judged(
        Race__served__stuck=Stuck(stall(0.9), [waits]), Race__paid=0, Race__served__left=1
    )
    (reason,) = found.reasons
    assert (reason.conflict, reason.promise, reason.line) == ("blocking-db", 3, 9)
    assert "1 waiting for a lock" in reason.sentence


def test_a_hang_comes_before_what_showed_the_same_without_one_and_is_told_once():
    waits = Stuck(stall(0.9), [Session("1", 1, "active", "Lock", 0.1, "select", [2])])
    found = judged(
        Line__stalls=(stall(0.09),) * 3,
        Crowd__served__stuck=waits,
        Race__served__stuck=waits,
    )
    hang, line = found.reasons
    assert {(one.conflict, one.promise) for one in found.reasons} == {("blocking-db", 3)}
    assert "had locked" in hang.sentence
    assert "With a round trip of" in line.sentence
    assert {one.number: one.state for one in found.promises}[3] == "broken"


def test_issues_that_fail_in_every_scene_are_one_reason():
    failed = (raised("BillingUnavailable", "BillingError"),) * 2
    found = judged(**{
        f"{scene}__{name}": value
        for scene, name, value in (
            *((one, "issued", failed) for one in ("Crowd", "Race", "Gone", "Refused")),
            ("Crowd", "endings", ()),
            ("Race", "endings", ()),
            ("Gone", "ending", None),
            ("Refused", "endings", {}),
        )
    })  # fmt: skip
    assert ["Of 2 issues at once, 2 did not" in one.sentence for one in found.reasons] == [True]


def test_tasks_of_a_pool_that_is_not_closed_are_no_second_reason():
    tasks = [
        Reason("1 task still ran after all calls had ended.", conflict="dropped-task", promise=1)
    ]
    (reason,) = judged(tasks).reasons
    assert (reason.conflict, reason.promise) == ("dropped-task", 1)
    found = judged(tasks, Line__served__left=1)
    assert [one.conflict for one in found.reasons] == ["unclosed-resource"]


# Calls and the gateway.


class Service:
    async def charge(self, gateway):
        return await gateway.charge(100, "EUR", "card", "2031-00001")  # asks

    async def get(self, what):
        return what


async def test_a_call_without_a_line_of_its_own_has_its_methods():
    ending = await BillingCall(Service(), "get", "x" * 100).settled(1)
    assert (ending.value, ending.place.code) == ("str(...)", "async def get(self, what):")
    ending = await BillingCall(Service(), "fly").settled(1)
    assert ending.is_error("AttributeError")


async def test_the_gateway_knows_the_line_that_asked_last():
    gateway = CardGateway()
    gateway.fails = CardDeclinedError("declined")
    ending = await BillingCall(Service(), "charge", gateway).settled(1)
    assert ending.is_error("CardDeclinedError")
    assert gateway.asked_at.code.endswith("# asks")
    assert gateway.asked == ["2031-00001"]
