"""The judgement of lab 04, on facts made up: one that keeps every promise, and ones that break one."""

import pytest

from loopclinic.lessons.unbounded_gather import LESSON
from loopclinic.lessons.unbounded_gather.judgement import judge, praise
from tests.lessons.trials import trial

RIGHT = {
    "limit": 20,
    "steady": {
        "ending": {
            "how": "returned",
            "seconds": 1.4,
            "sound": True,
            "unfinished": 0,
            "published": 390,
            "failed": {str(n): "422" for n in range(10)},
        },
        "left": {"tasks": 0, "place": None},
        "missing": [],
        "repeated": [],
        "posts": 400,
        "banned": list(range(10)),
        "accepted": 390,
        "peak": 20,
        "mean": 18.0,
        "tasks": 21,
        "rate": 280.0,
    },
    "broken": {
        "ending": {
            "how": "returned",
            "seconds": 0.1,
            "sound": True,
            "unfinished": 0,
            "published": 0,
            "failed": {"1": "reset", "2": "reset"},
        },
        "left": {"tasks": 0, "place": None},
        "missing": [],
        "repeated": [],
        "wanted": [1, 2],
    },
    "refusing": {
        "ending": {
            "how": "returned",
            "seconds": 2.2,
            "sound": True,
            "unfinished": 0,
            "published": 40,
            "failed": {},
        },
        "left": {"tasks": 0, "place": None},
        "missing": [],
        "repeated": [],
        "posts": 40,
        "accepted": 40,
        "retry_after": 2,
        "refused": 20,
        "requests_while_closed": 20,
        "closed_for": 0.4,
        "again": 20,
        "shortest": 2.003,
    },
    "lost_source": {
        "ending": {"how": "raised", "seconds": 0.1, "message": "SourceLost", "errors": []},
        "left": {"tasks": 0, "place": None},
        "raised": True,
        "requests_after": 0,
    },
    "crowd": {
        "ending": {"how": "cancelled", "seconds": 0.01},
        "left": {"tasks": 0, "place": None},
        "due": 100_000,
        "early": False,
        "stopped": False,
        "held": 41,
        "tasks": 40,
        "taken": 700,
        "requests": 660,
        "requests_after": 0,
        "in_flight_after": 0,
    },
}


def judged(**changes):
    return judge(trial(LESSON, RIGHT, **changes))


def test_a_trial_that_keeps_every_promise_passes():
    assert judged() == []
    assert "90% of a limit of 20" in praise(trial(LESSON, RIGHT))


@pytest.mark.parametrize(
    ("changes", "conflict", "words"),
    [
        ({"crowd__tasks": 201}, "unbounded-gather", "201 tasks"),
        ({"crowd__held": 201}, "unbounded-gather", "201 posts were in memory"),
        ({"steady__peak": 21}, "unbounded-gather", "21 requests in flight"),
        ({"steady__mean": 8.9}, "sequential-awaits", "8.9 of 20 places"),
        ({"steady__ending__failed": {}}, "dropped-gather-results", "10 of these are not"),
        ({"broken__ending__failed": {"1": ""}}, "dropped-gather-results", "1 of these"),
        ({"steady__missing": [5]}, None, "1 post never arrived"),
        ({"steady__ending__published": 391}, None, "`published` is 391"),
        ({"steady__repeated": [7]}, "retry-storm", "1 post came again"),
        ({"refusing__shortest": 1.89}, "retry-storm", "after 1.9 s"),
        ({"refusing__accepted": 20}, "dropped-gather-results", "20 posts of 40"),
        ({"refusing__ending__failed": {"3": "429"}, "refusing__accepted": 39}, None, "as failed"),
        ({"steady__ending__unfinished": 20}, "dropped-task", "20 tasks were sending"),
        (
            {"crowd__ending": {"how": "returned", "value": "Summary()", "seconds": 0.0}},
            "swallowed-cancellation",
            "returning Summary()",
        ),
        ({"crowd__ending__seconds": 0.51}, "swallowed-cancellation", "took 510 ms"),
        ({"crowd__requests_after": 3}, "dropped-task", "3 more requests"),
        ({"lost_source__ending__how": "unfinished"}, None, "still waiting"),
        ({"lost_source__raised": False}, None, "as if all were done"),
        ({"lost_source__left": {"tasks": 4, "place": None}}, "dropped-task", "4 tasks"),
    ],
)
def test_a_broken_promise_is_named(changes, conflict, words):
    (reason,) = judged(**changes)
    assert reason.conflict == conflict
    assert words in reason.sentence
    assert reason.next_step


@pytest.mark.parametrize(
    "changes",
    [
        {"crowd__tasks": 200, "crowd__held": 200},
        {"steady__mean": 9.1},
        {"refusing__shortest": 1.91},
        {"crowd__ending__seconds": 0.49},
        {"crowd__ending__seconds": 0.9, "crowd__stopped": True},
    ],
)
def test_a_budget_just_kept_is_kept(changes):
    assert judged(**changes) == []


@pytest.mark.parametrize(
    ("errors", "missing", "conflict"),
    [
        (["ClientError", "ClientResponseError"], 350, "unisolated-failure"),
        (["ConnectionResetError", "OSError"], 350, "unisolated-failure"),
        (["LookupError", "KeyError"], 350, None),  # a fault of the lab's own
        (["ClientError", "ClientResponseError"], 0, None),  # raised when all was sent
    ],
)
def test_one_failure_that_ends_all_says_how_many_were_lost(errors, missing, conflict):
    ending = {"how": "raised", "message": "ClientResponseError: 422", "errors": errors}
    changes = {
        "steady__ending": {**ending, "seconds": 0.2},
        "steady__missing": list(range(100, 100 + missing)),
        "steady__mean": 3.0,
    }
    (reason,) = judged(**changes)
    assert reason.conflict == conflict
    assert ("350 posts of the others never went out" in reason.sentence) == bool(missing)


def test_budgets_say_why_they_stand_where_they_stand():
    for name, budget in LESSON.budgets.items():
        assert len(budget.reason) > 30, name
