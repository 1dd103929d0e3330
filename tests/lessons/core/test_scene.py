"""Scenes: findings to JSON and back, and the state of each promise."""

import json
from dataclasses import asdict, dataclass, field, replace
from random import Random
from types import SimpleNamespace

import pytest

from loopclinic.lessons.core import Broken, Check, Ending, Kept, Place, Scene
from loopclinic.lessons.core.scene import from_json
from loopclinic.verdict import Reason

CONTRACT = {1: "It adds.", 2: "It is quick.", 3: "It leaves nothing.", 4: "It is kind."}


@dataclass(frozen=True, slots=True)
class Found:
    answer: int
    endings: list[Ending] = field(default_factory=list)
    by_name: dict[int, Place] = field(default_factory=dict)
    pair: tuple[str, int] = ("a", 1)
    worst: Ending | None = None


class Adds(Scene[Found]):
    title, Found, promises = "adding", Found, (1,)

    async def drive(self, lab, stage):
        return Found(lab.add(1, 2))

    def judge(self, found, judged):
        if found.answer != 3:
            yield Reason("It gave something else.", promise=1)
        else:
            yield Kept(1)


class Hurries(Adds):
    title, promises = "adding in a hurry", (1, 2)

    async def drive(self, lab, stage):
        return None if stage.found(Adds).answer == 0 else Found(lab.add(2, 2))

    def judge(self, found, judged):
        if judged.keeps(Adds, 1):
            yield Kept(1)
        if found.answer < 9:
            yield Kept(2)
        elif found.answer == 10:
            yield Reason("It is slow.", conflict="blocking-sleep", promise=2)


CHECK = Check(
    scenes=(Adds(), Hurries()),
    praise=lambda judged: f"It gave {judged.expect(Adds).answer}.",
    leaves_nothing=3,
)


def judged(adds, hurries, left_behind=()):
    facts = {}
    for name, answer in (("Adds", adds), ("Hurries", hurries)):
        if answer is not ...:
            facts[name] = answer and json.loads(json.dumps(asdict(Found(answer))))
    return CHECK.judge(facts, CONTRACT, left_behind)


@pytest.mark.parametrize(
    ("adds", "hurries", "left", "states"),
    [
        (3, 4, [], "kept kept kept not-judged"),
        (4, 4, [], "broken kept kept not-judged"),
        (3, 10, [], "kept broken kept not-judged"),
        (3, 9, [], "kept not-judged kept not-judged"),
        (3, None, [], "not-judged not-judged kept not-judged"),  # the scene was left out
        (3, ..., None, "not-reached not-reached not-reached not-judged"),
        (4, ..., None, "broken not-reached not-reached not-judged"),
        (3, 4, None, "kept kept not-reached not-judged"),
        (3, 4, [Reason("A task is left.", promise=3)], "kept kept broken not-judged"),
    ],
)
def test_a_promise_is_never_kept_by_silence(adds, hurries, left, states):
    found = judged(adds, hurries, left)
    assert [one.state for one in found.promises] == states.split()
    assert [one.text for one in found.promises] == list(CONTRACT.values())


def test_the_root_comes_first_and_only_a_whole_trial_is_praised():
    assert judged(3, 4).praise == "It gave 3."
    assert judged(3, 4, None).praise == ""
    for unjudged, hurries in ((2, 9), (1, None)):
        (reason,) = judged(3, hurries).reasons
        assert f"promise {unjudged} could not be put to the test" in reason.sentence
        assert judged(3, hurries).praise == ""
    slow, wrong = judged(4, 10).reasons
    assert (slow.conflict, wrong.promise) == ("blocking-sleep", 1)


def test_errors_that_went_unseen_are_reported_where_no_scene_saw_them():
    unseen = Reason("An error went unseen.", conflict="dropped-task")
    assert judged(3, 4, [unseen]).reasons == (unseen,)
    left = Reason("A task is left.", conflict="dropped-task", promise=3)
    assert judged(3, 4, [left, unseen]).reasons == (left,)


async def test_a_scene_sees_what_earlier_ones_found():
    reported = {}
    line = SimpleNamespace(
        seed=1,
        rng=Random(1),
        services={},
        antipattern=None,
        step=lambda name: None,
        fact=reported.__setitem__,
    )
    await CHECK.play(SimpleNamespace(add=lambda a, b: a + b), line)
    assert {name: one["answer"] for name, one in reported.items()} == {"Adds": 3, "Hurries": 4}
    await CHECK.play(SimpleNamespace(add=lambda a, b: 0), line)
    assert reported["Hurries"] is None


def test_a_finding_comes_back_from_json_as_it_was():
    ending = Ending("raised", 0.3, Place("lab.py", 7, "raise X"), error=("X", "Exception"))
    found = Found(3, [ending], {7: ending.place}, ("b", 2), ending)
    data = json.loads(json.dumps(asdict(found)))
    assert from_json(Found, data) == found
    with pytest.raises(KeyError):
        from_json(Found, {"answer": 3})


class BreaksTwo(Adds):
    title, promises = "adding wrongly and slowly", (1, 2)

    def judge(self, found, judged):
        if found.answer == 5:
            yield Reason("It waits for another answer.", promise=1)
        yield Broken(2)


def test_a_reason_may_break_further_promises():
    check = replace(CHECK, scenes=(BreaksTwo(),))

    def states(answer):
        found = check.judge({"BreaksTwo": asdict(Found(answer))}, CONTRACT, ())
        return [one.state for one in found.promises]

    assert states(5) == ["broken", "broken", "kept", "not-judged"]
    with pytest.raises(AssertionError, match="BreaksTwo gave no reason why promise 2 is broken"):
        states(3)
