"""Judging in lab 04's check on synthetic findings: a lab that keeps each promise, and ones that break one."""

import asyncio
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from loopclinic.checks.checking import conclude
from loopclinic.checks.child_reports import Outcome
from loopclinic.checks.trial_processes import Limits
from loopclinic.lessons import lesson
from loopclinic.lessons.core import Ending, Left, Place
from loopclinic.lessons.core.stage import Stage
from loopclinic.lessons.unbounded_gather.check import CHECK, Batch, Crowd, LostSource
from loopclinic.servers import Counts
from tests.lessons.core.findings import changed, judge

CONTRACT = lesson("04").promises
HERE = Place("lab.py", 7, "await gather(...)")
ENDED = Ending("returned", 1.4, HERE)
NOTHING = Left()
CANCELLED = Crowd.Found(
    Ending("cancelled", 0.01, HERE),
    early=False,
    left=NOTHING,
    limit=20,
    stopped=False,
    held=41,
    tasks=40,
    requests=660,
    requests_after=0,
)
RIGHT = {
    "Steady": Batch(
        ENDED,
        NOTHING,
        20,
        400,
        bad=list(range(10)),
        missing=[],
        repeated=[],
        accepted=390,
        refused=0,
        peak=20,
        mean=18.0,
        held=40,
        astray=0,
        changed=0,
        shortest=None,
        published=390,
        failed=[str(n) for n in range(10)],
    ),
    "Broken": Batch(
        ENDED, NOTHING, 20, 2, [1, 2], [], [], 0, 0, 2, 1.0, 2, 0, 0, None, failed=["1", "2"]
    ),
    "Refusing": Batch(
        ENDED,
        NOTHING,
        20,
        40,
        [],
        [],
        [],
        40,
        20,
        20,
        2.0,
        40,
        0,
        0,
        2.003,
        published=40,
        failed=[],
    ),
    "LostSource": LostSource.Found(
        Ending("raised", 0.1, HERE, related=("_SourceLostError",)), NOTHING, 0, 0
    ),
    "Crowd": CANCELLED,
    "Waiting": CANCELLED,
}


def judged(**changes):
    return judge(CHECK, changed(RIGHT, changes), CONTRACT)


def test_a_trial_that_keeps_every_promise_passes():
    found = judged()
    assert found.reasons == ()
    assert {one.state for one in found.promises} == {"kept"}
    assert "90% of a limit of 20" in found.praise


@pytest.mark.parametrize(
    ("changes", "conflict", "promise", "words"),
    [
        ({"Crowd__tasks": 201}, "unbounded-gather", 6, "201 tasks"),
        ({"Crowd__held": 201}, "unbounded-gather", 6, "201 posts were in memory"),
        ({"Refusing__held": 201}, "unbounded-gather", 6, "201 posts were in memory"),
        ({"Steady__peak": 21}, "unbounded-gather", 2, "21 requests in flight"),
        ({"Steady__mean": 14.9}, "sequential-awaits", 2, "14.9 of 20 places"),
        ({"Steady__failed": []}, "dropped-gather-results", 4, "10 of these are not"),
        ({"Broken__failed": ["1"]}, "dropped-gather-results", 4, "1 of these"),
        ({"Steady__astray": 300}, None, 1, "300 requests went elsewhere"),
        ({"Steady__changed": 3}, None, 1, "3 requests came with a body that belongs to no post"),
        ({"Refusing__changed": 3}, None, 1, "3 requests came with a body that belongs to no post"),
        ({"Steady__missing": [5]}, None, 1, "1 post never arrived"),
        ({"Steady__published": 391}, None, 5, "`published` is 391"),
        ({"Steady__failed": None}, None, 5, "no Summary"),
        ({"Steady__repeated": [70]}, "retry-storm", 1, "1 post came again"),
        ({"Steady__repeated": [7]}, "retry-storm", 4, "1 post came again"),
        ({"Refusing__shortest": 1.89}, "retry-storm", 3, "after 1.9 s"),
        ({"Refusing__accepted": 20}, "dropped-gather-results", 3, "20 posts of 40"),
        ({"Refusing__failed": ["3"], "Refusing__accepted": 39}, None, 3, "as failed"),
        ({"Refusing__ending__how": "broken-off"}, None, 3, "had not returned"),
        ({"Steady__ending__unfinished": 20}, "dropped-task", 8, "20 tasks were sending"),
        (
            {"Crowd__ending": Ending("returned", 0.0, HERE, value="Summary()")},
            "swallowed-cancellation",
            8,
            "and returned Summary() instead",
        ),
        ({"Crowd__ending__seconds": 0.51}, "swallowed-cancellation", 8, "took 510 ms"),
        ({"Crowd__requests_after": 3}, "dropped-task", 8, "sent 3 more requests"),
        ({"Crowd__left": Left(4)}, "dropped-task", 8, "left 4 tasks at work"),
        (
            {"Waiting__ending__how": "running"},
            "swallowed-cancellation",
            8,
            "while refused posts had to wait, and kept running",
        ),
        ({"LostSource__ending__how": "broken-off"}, None, 7, "still waiting"),
        ({"LostSource__ending__related": ()}, None, 7, "as if all were done"),
        ({"LostSource__late": 9}, None, 7, "sent 9 more posts before it raised"),
        ({"LostSource__left": Left(4)}, "dropped-task", 7, "4 tasks"),
        ({"Crowd__early": True, "Crowd__ending": ENDED}, None, 1, "publish returned after"),
    ],
)
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
        {"Crowd__tasks": 200, "Crowd__held": 200},
        {"Steady__mean": 15.1},
        {"Refusing__shortest": 1.91},
        {"Crowd__ending__seconds": 0.49},
        {"Crowd__ending__seconds": 0.9, "Crowd__stopped": True},
    ],
)
def test_a_budget_just_kept_is_kept(changes):
    assert judged(**changes).reasons == ()


@pytest.mark.parametrize(
    ("errors", "missing", "conflict"),
    [
        (("ClientError", "ClientResponseError"), 350, "unisolated-failure"),
        (("ConnectionResetError", "OSError"), 350, "unisolated-failure"),
        (("LookupError", "KeyError"), 350, None),  # a fault of the lab's own
        (("ClientError", "ClientResponseError"), 0, None),  # raised when all was sent
    ],
)
def test_one_failure_that_ends_all_says_how_many_were_lost(errors, missing, conflict):
    ending = Ending("raised", 0.2, HERE, message="ClientResponseError: 422", related=errors)
    (reason,) = judged(
        Steady__ending=ending, Steady__missing=list(range(100, 100 + missing)), Steady__mean=3.0
    ).reasons
    assert reason.conflict == conflict
    assert ("350 posts of the others never went out" in reason.sentence) == bool(missing)
    assert (reason.measured == "350 posts not sent") == bool(missing)


def test_posts_that_two_tasks_ask_for_at_once_are_all_there_is_to_say():
    says = "RuntimeError: anext(): asynchronous generator is already running"
    found = judged(
        Steady__asked_twice=says,
        Steady__ending=Ending("raised", 0.1, HERE, message=says),
        Refusing__ending__how="raised",
        Crowd__early=True,
    )
    (reason,) = found.reasons
    assert (reason.promise, reason.line) == (7, HERE.line)
    assert says in reason.sentence


def test_workers_that_end_with_the_first_failure_are_missed():
    late = Ending("broken-off", 1.0, HERE)
    (reason,) = judged(Broken__ending=late, Broken__missing=[2]).reasons
    assert (reason.conflict, reason.promise) == ("unisolated-failure", 4)
    assert reason.sentence.startswith("1 connection broke, and 1 other post never went out")


def test_what_was_found_before_a_hang_is_reported_after_it(tmp_path):
    file = tmp_path / "lab.py"
    file.write_text("import time\ntime.sleep(2)\n")
    facts = {"Steady": asdict(changed(RIGHT["Steady"], {"peak": 40}))}
    outcome = Outcome(
        cause="deadline",
        ready=True,
        step="posts that are answered 429",
        facts=facts | {"Broken": asdict(RIGHT["Broken"])},
        stuck={"seconds": 9.0, "stretches": 1, "place": None, "share": 1.0},
        stack=[(str(file), 2)],
        used=12.0,
    )
    verdict = conclude(
        lesson("04"), outcome, file, file.read_text(), seed=1, limits=Limits(seconds=12.0)
    )
    hang, proved = verdict.reasons
    assert (hang.conflict, hang.line) == ("blocking-sleep", 2)
    assert "stuck at line 2 for 9 s" in hang.sentence
    assert (proved.conflict, proved.promise) == ("unbounded-gather", 2)
    states = {one.number: one.state for one in verdict.promises}
    assert states[1] == states[4] == "kept"
    assert states[2] == "broken"
    assert {states[number] for number in (3, 6, 7, 8)} == {"not-reached"}
    assert proved.file == HERE.file


class Service:
    """A service that nobody sends to; it is asked for its counts."""

    def __init__(self):
        self.asked = asyncio.Event()

    async def reset(self):
        pass

    async def set(self, **dials):
        pass

    async def counts(self):
        self.asked.set()
        await asyncio.sleep(0.01)  # what waited for it goes on meanwhile
        return Counts()


@pytest.mark.parametrize("stops", [False, True])
async def test_what_ends_while_the_service_is_asked_was_not_cancelled(stops):
    """It hoards posts until the source stops, and returns between the last look and the cancel."""
    service = Service()

    async def publish(_session, posts, *, limit):
        held = [post async for post in posts] if stops else [await anext(posts)]
        await service.asked.wait()
        return SimpleNamespace(published=len(held), failed={})

    from random import Random

    line = SimpleNamespace(
        seed=1,
        rng=Random(1),
        antipattern=None,
        services={},
        step=lambda name: None,
        fact=lambda name, value: None,
    )
    stage = Stage(line, probe=None)
    stage.upstream, stage.session = service, None
    found = await Crowd().drive(SimpleNamespace(publish=publish), stage)
    assert found.early
    assert found.stopped == stops
    reasons = judge(CHECK, RIGHT | {"Crowd": found}).reasons
    told = [reason for reason in reasons if reason.promise != 6]  # that it hoards is promise 6
    assert len(told) == (not stops)
    assert all(
        "publish returned after" in reason.sentence and not reason.conflict for reason in told
    )
