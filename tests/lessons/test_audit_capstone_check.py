"""Lab 14's check: steps of the ten functions on a fake clock, and what its judges make of findings."""

import asyncio
import importlib.util
import sys

import psycopg_pool
import pytest

from loopclinic.lessons.audit_capstone import audit_scene, check_crowd
from loopclinic.lessons.audit_capstone.audit_scene import FUNCTIONS, Held, ModelProvider, Steps
from loopclinic.lessons.audit_capstone.check import CHECK
from loopclinic.lessons.audit_capstone.check_cancelled import Cancelled, Stopped
from loopclinic.lessons.audit_capstone.check_crowd import Crowd, Hanging
from loopclinic.lessons.audit_capstone.check_functions import Asked, Line
from loopclinic.lessons.audit_capstone.check_workers import Killed, Workers
from loopclinic.lessons.audit_capstone.queue_tables import (
    Stored,
    answer_of,
    asked_about,
    companies,
    names_it,
)
from loopclinic.lessons.core import Ending, Judged, Kept, Left, Place
from loopclinic.lessons.database.postgres_verdicts import LINE, Cancel, Served
from loopclinic.lessons.database.sessions import Session
from loopclinic.probe import Frame, Stall
from loopclinic.probe.report import Share
from loopclinic.verdict import Reason

SOURCE = """
import asyncio

async def take_audit(clock):
    clock.wall += 0.03
    await asyncio.sleep(0)
    clock.wall += 0.05
    return finalize_audit(clock)

def finalize_audit(clock):
    clock.wall += 0.4
    return next(iter(()), None)

def calculate_scores(clock):
    clock.wall += 0.6
    clock.cpu += 0.2
    return clock.wall

def is_cancelled(clock):
    for _ in iter(()):
        pass
    try:
        raise KeyError("no such audit")
    except KeyError:
        raise ValueError("caught\\nbut not well") from None

def helper(clock):
    clock.wall += 9
    raise ValueError("of no function")
"""


class Clock:
    wall = 0.0
    cpu = 0.0


@pytest.fixture
def clock(monkeypatch):
    """Wall and processor time that only the lab's functions spend."""
    found = Clock()
    monkeypatch.setattr(audit_scene, "_perf_counter", lambda: found.wall)
    monkeypatch.setattr(audit_scene, "_thread_time", lambda: found.cpu)
    return found


@pytest.fixture
def lab(tmp_path):
    file = tmp_path / "jobs.py"
    file.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("a_lab_of_fourteen", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_step_ends_at_an_await_and_leaves_out_what_another_function_took(lab, clock):
    with Steps() as steps:
        asyncio.run(lab.take_audit(clock))
    held = steps.held([stall(lab, "take_audit", 0.05), stall(lab, "finalize_audit", 0.4)])
    assert {*steps.defined} == {"take_audit", "finalize_audit"}
    assert {name: one.code for name, one in steps.called.items()} == {
        "finalize_audit": "return finalize_audit(clock)"
    }
    assert "take_audit" not in held  # 50 ms may be a wait for a processor
    assert held["finalize_audit"].seconds == pytest.approx(0.4)
    assert held["finalize_audit"].conflict == "blocking-db"
    assert not held["finalize_audit"].named
    assert held["finalize_audit"].place.code == "clock.wall += 0.4"
    assert steps.held([]) == {}  # it was on the loop's thread in no sample


def stall(lab, function, seconds, *, code="clock.wall += 0.4", conflict=None):
    """Return a stall of these seconds at a line of the lab, as a probe reports it."""
    line = (lab.__file__, 12, function)
    stack = (Frame(*line, code),)
    where = dict(zip(("file", "line", "function"), line, strict=True))
    share = Share(*line, seconds, 1.0, code)
    return Stall(0.0, seconds, **where, code=code, stack=stack, conflict=conflict, lines=(share,))


@pytest.mark.parametrize("conflict", [None, "blocking-db", "blocking-sync-primitive", "cpu-bound"])
def test_what_takes_a_processor_is_a_computation_whatever_the_wait_beside_it_looks_like(
    lab, clock, conflict
):
    """The lab as shipped computes for 0.2 s between queries of 0.4 s in all."""
    with Steps() as steps:
        lab.calculate_scores(clock)
    for seen in ([], [stall(lab, "calculate_scores", 0.5, conflict=conflict)]):
        held = steps.held(seen)["calculate_scores"]
        assert (held.conflict, held.named) == ("cpu-bound", True)
        assert held.seconds == pytest.approx(0.2)


@pytest.mark.parametrize("conflict", [None, "blocking-sync-primitive", "cpu-bound"])
def test_a_line_that_hands_over_to_a_thread_only_waited_for_the_gil(lab, clock, conflict):
    with Steps() as steps:
        lab.finalize_audit(clock)
    for code, blames in (
        ("return await asyncio.to_thread(shares, named, resamples)", False),
        ("async with pool.connection() as connection:", False),
        ("rows = connection.execute(query)", True),
    ):
        seen = [
            stall(lab, name, 0.4, code=code, conflict=conflict) for name in ("finalize_audit", "f")
        ]
        assert bool(steps.held(seen)) == blames, code
    waits = stall(lab, "finalize_audit", 0.4, code="return future.result()", conflict=conflict)
    kept = {name: one.conflict for name, one in steps.held([waits]).items()}
    thread = conflict == "blocking-sync-primitive"
    assert kept == {"finalize_audit": conflict if thread else "blocking-db"}
    named = [stall(lab, "finalize_audit", 0.4, code="await query()", conflict="blocking-net")]
    assert steps.held(named)["finalize_audit"].conflict == "blocking-net"


def test_the_first_error_of_each_function_is_kept_with_its_line(lab, clock):
    with Steps() as steps:
        with pytest.raises(ValueError, match="caught"):
            lab.is_cancelled(clock)
        with pytest.raises(ValueError, match="of no function"):
            lab.helper(clock)
    assert steps.raised.keys() == {"is_cancelled"}
    said, place = steps.raised["is_cancelled"]
    assert said == "KeyError: 'no such audit'"
    assert place.code == 'raise KeyError("no such audit")'


def test_steps_end_with_their_block(lab, clock):
    with Steps() as steps:
        pass
    lab.calculate_scores(clock)
    assert steps.held([]) == {}


async def test_a_provider_refuses_more_than_its_limit_and_counts():
    one = ModelProvider("Aspen", limit=1, latency=0)
    one.gate.clear()
    first = asyncio.ensure_future(one.ask("a"))
    await asyncio.sleep(0)
    with pytest.raises(audit_scene.RateLimitedError):
        await one.ask("b")
    one.gate.set()
    await first
    assert (one.refused, one.most, one.under_way) == (1, 1, 0)
    one.fails = "ASK"
    with pytest.raises(audit_scene.OverloadedError):
        await one.ask("don't ask")
    assert one.given_up == 0
    one.hangs, one.fails = True, ""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(one.ask("c"), 0.01)
    assert (one.given_up, one.under_way) == (1, 0)


def test_another_worker_shares_nothing_that_modules_keep(tmp_path, monkeypatch):
    folder = tmp_path / "a_job"
    folder.mkdir()
    (folder / "__init__.py").write_text("from a_job.jobs import TAKEN\n")
    (folder / "jobs.py").write_text("TAKEN = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = importlib.import_module("a_job")
    second = audit_scene._anew(first)
    first.TAKEN.append(1)
    assert second.TAKEN == []
    assert sys.modules["a_job"] is second
    assert sys.modules["a_job.jobs"].TAKEN is second.TAKEN


def test_an_answer_names_the_company_or_does_not_as_it_says():
    for query, company in asked_about().items():
        for name in audit_scene.PROVIDERS:
            assert (company.name.lower() in answer_of(name, query).lower()) == names_it(name, query)
    assert len(asked_about()) == 2 * len(companies())


# Judging.

HERE = Place("audit/jobs.py", 3, "async def take_audit():")
GOOD = Stored({1: "completed"}, {}, 6, 0, 0, 0, 0, 0, 0, 0, 0)
BAD = Stored({2: "failed"}, {2: "no answer"}, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def finding(**changed):
    asked = {"queries": 2, "foreign": "", "lacks": "", "uneven": 0}
    values = {
        "served": Served(),
        "ending": Ending("returned", 1.0, HERE, value="2"),
        "held": {},
        "raised": {},
        "defined": {},
        "called": {},
        "asked": Asked(**asked),
        "stored": GOOD,
        "failed": BAD,
        "nested": False,
    }
    return Line.Found(**values | changed)


def states(found):
    """Return numbers of promises that are kept, and those that are broken."""
    judged = Judged({Line: found})
    for said in Line().judge(found, judged):
        judged.add(Line(), said)
    kept = {number for name, number in judged.kept if number <= len(FUNCTIONS)}
    return kept, {reason.promise for reason in judged.reasons}


def with_(stored, **changed):
    values = {name: getattr(stored, name) for name in stored.__dataclass_fields__}
    return Stored(**values | changed)


def test_all_ten_are_kept():
    assert states(finding()) == ({*range(1, 11)}, set())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_stops_the_loop_is_broken_alone(name):
    number = FUNCTIONS.index(name) + 1
    kept, broken = states(finding(held={name: Held(HERE, 3 * LINE, "blocking-db", named=True)}))
    assert broken == {number}
    assert kept == {*range(1, 11)} - {number}


def test_less_than_half_a_round_trip_is_no_stop():
    held = {"take_audit": Held(HERE, 0.4 * LINE, "blocking-db", named=True)}
    assert states(finding(held=held))[1] == set()


def test_a_wait_that_no_probe_named_may_be_the_machines():
    held = {"take_audit": Held(HERE, 3 * LINE, "blocking-db", named=False)}
    (reason,) = [one for one in Line().judge(finding(held=held), Judged()) if type(one) is Reason]
    assert reason.timed


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"asked": Asked(2, "What?", "industry", 0)}, 3),
        ({"asked": Asked(1, "", "", 0)}, 4),
        ({"asked": Asked(2, "What?", "", 0)}, 4),
        ({"asked": Asked(2, "", "", 1)}, 5),
        ({"asked": Asked(2, "", "", 0, again=6)}, 5),
        (
            {
                "asked": Asked(2, "", "", 3),
                "failed": with_(BAD, status={2: "completed"}, errors={}),
            },
            4,
        ),
        ({"stored": with_(GOOD, missing=2)}, 6),
        ({"stored": with_(GOOD, garbled=1)}, 6),
        ({"stored": with_(GOOD, misread=1, misscored=1)}, 7),
        ({"stored": with_(GOOD, misscored=1)}, 8),
        ({"stored": with_(GOOD, miscounted=1)}, 9),
        ({"stored": with_(GOOD, missing=6, unmoved=6)}, 9),
        ({"stored": with_(GOOD, surplus=6)}, 9),
        ({"stored": with_(GOOD, left=2)}, 9),
        ({"failed": with_(BAD, errors={})}, 10),
        ({"failed": with_(BAD, left=2)}, 10),
        ({"failed": with_(BAD, status={2: "running"})}, 10),
        ({"failed": with_(BAD, miscounted=1)}, 10),
    ],
)
def test_what_a_function_did_wrong_is_its_own(changed, broken):
    kept, found = states(finding(**changed))
    assert found == {broken}
    assert broken not in kept
    if broken <= 6:  # what comes after it can't be seen
        assert not kept & {*range(broken + 1, 10)}


def test_what_a_function_did_wrong_is_told_at_its_definition():
    there = Place("audit/jobs.py", 40, "async def handle_failure():")
    found = finding(failed=with_(BAD, miscounted=1), defined={"handle_failure": there})
    (reason,) = [one for one in Line().judge(found, Judged()) if type(one) is Reason]
    assert reason.line == there.line
    assert reason.next_step.startswith("Count queries where their audit is completed")


def test_a_function_that_raises_is_named_by_its_line():
    stored = with_(GOOD, status={1: "failed"}, errors={1: "TypeError: none"}, rows=0)
    found = finding(stored=stored, raised={"company_context": ("TypeError: none", HERE)})
    judged = Judged({Line: found})
    said = list(Line().judge(found, judged))
    (reason,) = [one for one in said if isinstance(one, Reason)]
    assert reason.promise == 3
    assert "`company_context` raised TypeError: none" in reason.sentence
    assert reason.line == HERE.line
    assert Kept(1) in said


def test_a_connection_that_tasks_share_is_told_by_what_the_driver_raises():
    said = "OutOfOrderTransactionNesting: transaction commit at the wrong nesting level"
    stored = with_(GOOD, status={1: "failed"}, errors={1: said}, rows=0)
    for message, conflict in ((said, "shared-connection"), ("TypeError: none", None)):
        found = finding(stored=stored, raised={"take_audit": (message, HERE)})
        (reason,) = [one for one in Line().judge(found, Judged()) if type(one) is Reason]
        assert reason.conflict == conflict
        assert reason.next_step.startswith("Take a connection") == (conflict is not None)


def test_an_error_of_an_audit_that_ends_the_run_is_told_where_it_was_asked():
    there = Place("audit/processor.py", 71, "responses = await execute_queries(queries)")
    for ended, conflict in (("LookupError: no answer", "unisolated-failure"), ("OSError", None)):
        found = finding(
            ending=Ending("raised", 1.0, HERE, message=ended),
            raised={"execute_queries": NO_ANSWER},
            called={"execute_queries": there},
        )
        reason = next(one for one in Line().judge(found, Judged()) if type(one) is Reason)
        assert (reason.promise, reason.conflict) == (11, conflict)
        assert reason.line == (there if conflict else HERE).line


def test_a_run_that_is_not_over_keeps_nothing():
    late = Ending("broken-off", 7.0, HERE)
    kept, broken = states(finding(ending=late, stored=with_(GOOD, status={1: "running"})))
    assert kept == set()
    assert 11 in broken


NO_ANSWER = ("LookupError: no answer", HERE)


def test_a_run_that_raises_is_not_the_fault_of_what_it_did_not_get_to():
    """The audit that failed is nobody's: its error ends `run`, and with it the other audit."""
    found = finding(
        ending=Ending("raised", 1.0, HERE, message="LookupError: no answer"),
        raised={"execute_queries": NO_ANSWER},
        stored=with_(GOOD, status={1: "running"}),
        failed=with_(BAD, status={2: "running"}, errors={}),
    )
    assert states(found)[1] == {10, 11}


def test_no_answer_is_no_error_of_the_function_beside_one_that_raises():
    stored = with_(GOOD, status={1: "failed"}, errors={1: "RuntimeError: loop"}, rows=0)
    raised = {"execute_queries": NO_ANSWER, "store_responses": ("RuntimeError: loop", HERE)}
    kept, broken = states(finding(stored=stored, raised=raised))
    assert broken == {6}
    assert {*range(1, 6)} <= kept
    assert states(finding(stored=stored, raised={"execute_queries": NO_ANSWER}))[1] == {5}


@pytest.mark.parametrize("name", FUNCTIONS[6:9])
def test_what_raises_late_is_broken_alone_and_hides_what_may_come_after_it(name):
    stored = with_(GOOD, status={1: "failed"}, errors={1: "AttributeError: nmae"}, rows=0)
    kept, broken = states(finding(stored=stored, raised={name: ("AttributeError: nmae", HERE)}))
    assert broken == {FUNCTIONS.index(name) + 1}
    assert kept == {1, 2, 3, 4, 5, 10}


@pytest.mark.parametrize(
    "asked", [Asked(2, "What?", "name", 0), Asked(2, "", "", 3), Asked(2, "", "", 0)]
)
def test_two_workers_are_judged_where_one_asks_what_it_should(asked):
    ending = Ending("returned", 1.0, HERE, value="1")
    found = Workers.Found(Served(), [ending, ending], twice=6)
    judged = Judged({Line: finding(asked=asked)})
    asks = asked == Asked(2, "", "", 0)
    assert [one.promise for one in Workers().reasons(found, judged)] == [1] * asks


STUCK = with_(GOOD, status={1: "running"}, rows=0)
FAILED = with_(GOOD, status={1: "failed"}, errors={1: "RuntimeError: loop"}, rows=0)


@pytest.mark.parametrize(
    ("scene", "line", "stored", "more"),
    [
        (Hanging(), STUCK, STUCK, {"early": 16}),
        (Killed(), FAILED, FAILED, {"under_way": 3}),
        (
            Crowd(),
            FAILED,
            FAILED,
            {
                "seconds": 2.5,
                "under_way": 0,
                "refused": 0,
                "given_up": 0,
                "holding": [],
                "peak": 4,
                "taken": 9,
            },
        ),
    ],
)
def test_what_fails_with_one_audit_is_not_said_again_of_the_whole_job(scene, line, stored, more):
    ending = Ending("returned", 1.0, HERE, value="30")
    found = scene.Found(served=Served(), ending=ending, stored=stored, place=HERE, **more)
    for first, judges in ((finding(stored=line), False), (finding(), True)):
        judged = Judged({Line: first})
        said = [one for one in scene.reasons(found, judged) if one not in (Kept(11), Kept(8))]
        assert bool(said) == judges, said


RETURNED = Ending("returned", 1.0, HERE, value="30")


def said_of(scene, found, **line):
    """Return the reasons of a scene, with the promises that it found kept."""
    judged = Judged({Line: finding(**line)})
    for one in scene.judge(found, judged):
        judged.add(scene, one)
    return judged.reasons, {number for _, number in judged.kept}


def hanging(**changed):
    values = {"served": Served(), "ending": RETURNED, "early": 16, "stored": GOOD, "place": HERE}
    return Hanging.Found(**values | changed)


def test_scores_are_judged_where_queries_have_no_answer():
    assert said_of(Hanging(), hanging()) == ([], {8, 11, 14})
    (reason,), kept = said_of(Hanging(), hanging(stored=with_(GOOD, misscored=2)))
    assert (reason.promise, reason.measured) == (8, "2 wrong scores")
    assert kept == {11, 14}
    # With one audit they were wrong already: nothing more is to be said.
    line = {"stored": with_(GOOD, misscored=1)}
    assert said_of(Hanging(), hanging(stored=with_(GOOD, misscored=2)), **line) == ([], {11, 14})


def session(transaction):
    return Session("1", 1, "idle in transaction", "", transaction, "select 1", [])


def crowd(**changed):
    values = {"served": Served(), "ending": RETURNED, "seconds": 2.6, "under_way": 0, "refused": 0}
    values |= {
        "given_up": 0,
        "holding": [],
        "stored": GOOD,
        "peak": 4,
        "place": HERE,
        "taken": 6 * Crowd.many,
    }
    return Crowd.Found(**values | changed)


@pytest.mark.parametrize(
    ("holding", "taken", "conflict", "step"),
    [
        ([], 180, "sequential-awaits", "Ask all queries of an audit at once"),
        ([session(0.01)], 180, "sequential-awaits", "Ask all queries of an audit at once"),
        ([session(0.6)], 180, "pool-starvation", "Give the connection back before you ask"),
        ([session(0.6)], 1800, "pool-starvation", "Give the connection back before you ask"),
        ([session(0.01)], 1800, "pool-starvation", "Take fewer units of work for each audit: 60 "),
    ],
)
def test_a_slow_crowd_is_told_what_it_lacked(holding, taken, conflict, step):
    (reason,), _ = said_of(Crowd(), crowd(seconds=6.0, holding=holding, taken=taken))
    assert reason.conflict == conflict
    assert reason.next_step.startswith(step)
    assert ("gave one 1,800 times" in reason.sentence) == (step[:4] == "Take")


async def test_connections_that_open_pools_gave_are_counted():
    before = check_crowd._taken()
    async with psycopg_pool.AsyncConnectionPool("", min_size=0, max_size=1, open=False) as pool:
        pool._stats["requests_num"] += 7
        assert check_crowd._taken() == before + 7
    assert check_crowd._taken() == before


THERE = Place("audit/models.py", 51, "async def execute_queries():")


@pytest.mark.parametrize(
    ("changed", "conflict", "line", "step"),
    [
        ({"given_up": 90}, None, THERE, "Let `timeout` begin when a query is asked"),
        ({"refused": 9}, "unbounded-gather", THERE, "One asyncio.Semaphore"),
        ({"errors": "SerializationFailure: concurrent"}, None, HERE, "Have what many share waited"),
        ({"errors": "PoolTimeout: none"}, "pool-starvation", HERE, "Wait for a connection"),
        ({"errors": "KeyError: 3"}, None, HERE, "One alone is completed"),
    ],
)
def test_what_many_audits_share_is_told_by_what_was_seen_of_it(changed, conflict, line, step):
    stored = with_(GOOD, errors={1: changed.pop("errors", "")} if "errors" in changed else {})
    found = crowd(stored=stored, **changed)
    (reason,), _ = said_of(Crowd(), found, defined={"execute_queries": THERE})
    assert (reason.promise, reason.conflict, reason.line) == (15, conflict, line.line)
    assert reason.next_step.startswith(step)


def test_a_crowd_that_raises_is_told_once_more_only_if_two_audits_did_not():
    raised = crowd(ending=Ending("raised", 1.0, HERE, message="KeyError: 3"))
    (reason,), _ = said_of(Crowd(), raised)
    assert (reason.promise, reason.next_step.startswith("Let an audit's error")) == (11, True)
    line = {"raised": {"take_audit": ("KeyError: 3", HERE)}, "stored": FAILED}
    assert said_of(Crowd(), raised, **line) == ([], set())


CANCELLED = Ending("cancelled", 0.01, HERE)
ENDED = Cancel([CANCELLED], [], 0.01, HERE)


def stopped(when="while it asked", ending=RETURNED, status="cancelled", rows=0):
    return Stopped(when, ending, status, rows, counted=0)


def cancelled(**changed):
    values = {"served": Served(), "asking": ENDED, "storing": ENDED, "again": GOOD}
    values |= {
        "left": Left(),
        "after": (RETURNED,),
        "place": HERE,
        "by_status": (stopped(),),
        "asked": 0,
    }
    return Cancelled.Found(**values | changed)


def test_a_row_lock_is_named_where_it_keeps_a_user_waiting():
    assert said_of(Cancelled(), cancelled()) == ([], {2, 11, 12, 13})
    for name, promise in (("locked_before", 2), ("locked", 13)):
        (reason,), kept = said_of(Cancelled(), cancelled(**{name: HERE}))
        assert (reason.promise, reason.line) == (promise, HERE.line)
        assert reason.conflict == "transaction-left-open"
        assert f"a transaction that stood at {HERE.quoted} had locked its row" in reason.sentence
        assert promise not in kept


def test_an_audit_that_could_not_be_cancelled_before_it_asked_keeps_no_promise():
    assert said_of(Cancelled(), cancelled(asked=None)) == ([], {11, 12, 13})
    called = {"execute_queries": THERE}
    (reason,), kept = said_of(Cancelled(), cancelled(asked=6), called=called)
    assert (reason.promise, reason.line) == (2, THERE.line)
    assert 2 not in kept


@pytest.mark.parametrize(
    ("status", "when", "mover"),
    [
        ("completed", "while it stored", "finalize_audit"),
        ("failed", "while it asked in vain", "handle_failure"),
    ],
)
def test_an_audit_that_does_not_stay_cancelled_is_told_where_its_status_is_moved(
    status, when, mover
):
    found = cancelled(by_status=(stopped(), stopped(when, status=status)))
    (reason,), kept = said_of(Cancelled(), found, defined={mover: THERE})
    assert (reason.promise, reason.line) == (13, THERE.line)
    assert f"{when} ended as '{status}'" in reason.sentence
    assert not kept & {12, 13}


def test_what_a_cancelled_run_had_is_done_by_the_next_and_once():
    taken = {"take_audit": THERE}
    for stored, said in (
        (with_(GOOD, surplus=6), "6 responses of theirs were stored twice"),
        (with_(GOOD, status={1: "running"}), "one is 'running' in the end"),
    ):
        (reason,), _ = said_of(Cancelled(), cancelled(again=stored), defined=taken)
        assert reason.promise == 12
        assert said in reason.sentence


def test_a_run_that_raises_where_an_audit_was_cancelled_did_not_end_as_it_should():
    late = Ending("raised", 0.1, HERE, message="PoolClosed: closed")
    (reason,), _ = said_of(Cancelled(), cancelled(by_status=(stopped(), stopped(ending=late))))
    assert reason.sentence.startswith("An audit was cancelled while it asked, and `run` raised")
    assert reason.promise == 11


def test_what_is_lost_by_a_cancel_is_not_kept_by_a_kill():
    """Promise 12 has two scenes: where the cancelled run could not be judged, it is not judged."""
    for changed in (
        {"by_status": (stopped(rows=6),)},
        {"asking": None, "storing": None, "after": (), "again": None},
    ):
        _, kept = said_of(Cancelled(), cancelled(**changed))
        assert not kept & {12, 13}
    assert {type(one) for one in CHECK.scenes if 12 in one.promises} == {Cancelled, Killed}


@pytest.mark.parametrize("how", ["cancelled", "returned", "running"])
def test_audits_that_a_cancel_set_to_failed_are_the_first_reason_however_it_ended(how):
    asking = Cancel([Ending(how, 0.8, HERE)], [session(0.5)], 0.6, HERE)
    found = cancelled(failed=2, asking=asking, storing=None, after=(), left=Left(2, HERE))
    (reason,), _ = said_of(Cancelled(), found)
    assert reason.sentence == "`run` was cancelled, and set 2 audits to failed."
    assert (reason.conflict, reason.timed) == ("swallowed-cancellation", False)
    assert reason.next_step.startswith("Let CancelledError through")


def test_tasks_that_a_cancelled_run_left_are_said_beside_what_the_status_broke():
    reasons, _ = said_of(Cancelled(), cancelled(by_status=(stopped(rows=6),), left=Left(4, HERE)))
    assert reasons[-1].sentence == "After `run` was cancelled, 4 tasks still ran."
    assert len(reasons) == 2


def test_connections_are_no_finding_beside_a_hang():
    left = {"served": Served(left=3)}
    late = Ending("broken-off", 5.5, HERE)
    (reason,), _ = said_of(Crowd(), crowd(**left))
    assert reason.conflict == "unclosed-resource"
    (reason,), kept = said_of(Crowd(), crowd(**left, ending=late, seconds=5.5))
    assert "was not done after" in reason.sentence
    assert 11 not in kept


@pytest.mark.parametrize(("transaction", "conflict"), [(0.2, None), (0.6, "pool-starvation")])
def test_a_crowd_that_a_computation_kept_from_its_end_is_not_a_hang(transaction, conflict):
    """A transaction between two statements starves no pool; an older one does, whatever computes beside it."""
    late = Ending("broken-off", 8.0, HERE)
    found = crowd(ending=late, seconds=8.0, holding=[session(transaction)])
    line = {"held": {"analyze_responses": Held(HERE, 0.7, "cpu-bound", named=True)}}
    judged = Judged(
        {Line: finding(**line)}, [Reason("It computes.", conflict="cpu-bound", promise=7)]
    )
    said = [one for one in Crowd().judge(found, judged) if isinstance(one, Reason)]
    assert [one.conflict for one in said] == [conflict] * (conflict is not None)
