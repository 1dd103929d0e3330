"""Lab 14's check: steps of the ten functions on a fake clock, and what its judges make of findings."""

import asyncio
import importlib.util

import pytest

from loopclinic.lessons.audit_capstone import audit_scene
from loopclinic.lessons.audit_capstone.audit_scene import FUNCTIONS, Held, ModelProvider, Steps
from loopclinic.lessons.audit_capstone.check_functions import Asked, Line
from loopclinic.lessons.audit_capstone.queue_tables import (
    Stored,
    answer_of,
    asked_about,
    companies,
    names_it,
)
from loopclinic.lessons.core import Ending, Judged, Kept, Place
from loopclinic.lessons.database.postgres_verdicts import LINE, Served
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
    clock.wall += 0.3
    clock.cpu += 0.3

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
    held = steps.held([])
    assert "take_audit" not in held  # 50 ms may be a wait for a processor
    assert held["finalize_audit"].seconds == pytest.approx(0.4)
    assert held["finalize_audit"].conflict == "blocking-db"
    assert held["finalize_audit"].place.code.startswith("def finalize_audit")


def test_what_takes_a_processor_is_a_computation(lab, clock):
    with Steps() as steps:
        lab.calculate_scores(clock)
    assert steps.held([])["calculate_scores"].conflict == "cpu-bound"
    assert steps.held([])["calculate_scores"].seconds == pytest.approx(0.3)


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
    kept, broken = states(finding(held={name: Held(HERE, 3 * LINE, "blocking-db")}))
    assert broken == {number}
    assert kept == {*range(1, 11)} - {number}


def test_less_than_half_a_round_trip_is_no_stop():
    assert states(finding(held={"take_audit": Held(HERE, 0.4 * LINE, "blocking-db")}))[1] == set()


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"asked": Asked(2, "What?", "industry", 0)}, 3),
        ({"asked": Asked(1, "", "", 0)}, 4),
        ({"asked": Asked(2, "What?", "", 0)}, 4),
        ({"asked": Asked(2, "", "", 1)}, 5),
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


def test_a_run_that_is_not_over_keeps_nothing():
    late = Ending("broken-off", 7.0, HERE)
    kept, broken = states(finding(ending=late, stored=with_(GOOD, status={1: "running"})))
    assert kept == set()
    assert 11 in broken
