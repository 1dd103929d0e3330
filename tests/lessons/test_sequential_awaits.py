"""Lesson 05: its drawn batches are fair, its shapes tell answers apart, its story counts what it shows."""

import asyncio

import pytest

from loopclinic.lessons.core import Broken, Judged, Kept
from loopclinic.lessons.schedules.search import in_virtual_time
from loopclinic.lessons.sequential_awaits import check, ladder, story
from loopclinic.lessons.sequential_awaits.check import Fault, Handler


def batch(senders):
    return [story.Message(number, one, "hello") for number, one in enumerate(senders)]


def handled(way, senders, seconds=lambda _: 1.0, limit=10):
    """Return the handler after a way has processed a batch, and the seconds that it took."""
    messages = batch(senders)
    handler = Handler(messages, {one.id: seconds(one.id) for one in messages})

    async def run(_):
        began = asyncio.get_running_loop().time()
        await way(messages, handler, limit=limit)
        return asyncio.get_running_loop().time() - began

    return handler, in_virtual_time(run)


@pytest.mark.parametrize(
    ("way", "seconds", "overtaken"),
    [
        (ladder.one_by_one, 24, False),
        (ladder.gathered, 1, True),
        (ladder.chains, 12, False),
        (ladder.whole_chains, 12, False),
    ],
)
def test_each_rung_takes_as_long_as_the_notebook_says(way, seconds, overtaken):
    handler, took = handled(way, "AABACADAEAFABACADAEAFBCA")
    assert took == seconds
    assert bool(handler.overtaken()) == overtaken
    assert len(handler.began) == 24


def test_with_two_places_a_place_for_each_chain_reaches_the_bound():
    took = [handled(way, story.SENDERS, limit=2)[1] for way in (ladder.chains, ladder.whole_chains)]
    assert took == [16, 12]


def test_a_place_for_each_chain_keeps_each_failure():
    failing, kept = batch("ABAB"), RuntimeError()

    async def handle(message):
        if message.id in (0, 3):
            raise kept

    async def run(_):
        return await ladder.whole_chains(failing, handle, limit=1)

    assert in_virtual_time(run) == {0: kept, 3: kept}


def test_a_handler_says_who_overtook_whom():
    handler, _ = handled(ladder.gathered, "AB" * 2)
    assert handler.overtaken() == (
        "message 2 of A began before message 0, which came first, was over"
    )
    assert handler.most == 4


def test_seeds_draw_batches_of_every_kind():
    class Lab:
        Message = story.Message

    drawn = [check._drawn(Lab, seed, 0.3) for seed in range(check.SEEDS)]
    sizes = {len(handler.batch) for _, handler in drawn}
    assert sizes == {2, 3, 4, 6, 10}
    assert {limit for limit, _ in drawn} == {1, 2, 3, 10}
    texts = {one.text for _, handler in drawn for one in handler.batch}
    assert {None, ""} < texts
    ids = [[one.id for one in handler.batch] for _, handler in drawn]
    assert any(one != sorted(one) for one in ids)
    failing = sum(len(handler.failing) for _, handler in drawn)
    assert 0.2 < failing / sum(map(len, ids)) < 0.4


def test_the_bound_of_each_shape_leaves_room_for_any_order_of_senders():
    for what, (senders, limit, seconds) in check._SHAPES.items():
        handler, took = handled(ladder.chains, senders, seconds, limit)
        spent = [
            sum(seconds(one.id) for one in handler.batch if one.sender == name)
            for name in set(senders)
        ]
        assert took <= 1.15 * max(*spent, sum(spent) / limit), what


def test_what_follows_from_messages_left_out_is_not_said():
    faults = tuple(
        Fault(kind, 10, "2 messages", None) for kind in ("missing", "stopped", "results")
    )
    found = check._Played.Found(50, faults)
    judged = Judged()
    for scene in (check.Batches(), check.Failures()):
        for said in scene.judge(found, judged):
            judged.add(scene, said)
    assert [one.promise for one in judged.reasons] == [1, 5]
    said = [*check.Failures().judge(found, judged)]
    assert said == [Kept(2), Kept(3)]


def test_a_call_that_ends_only_where_nothing_fails_has_a_place_that_is_not_given_back():
    ended = check._Played.Found(50, (Fault("ended", 10, "2 messages", None),))
    reason, broken, *_ = check.Failures().judge(ended, Judged())
    assert (reason.promise, broken) == (1, Broken(6))
    assert reason.next_step.startswith("Give back the place")
    assert Broken(6) not in [*check.Batches().judge(ended, Judged())]


def test_times_of_a_call_that_raised_say_nothing():
    found = check.Shapes.Found(9.0, "six senders", 9.0, returned=False, line=None)
    assert [*check.Shapes().judge(found, Judged())] == []


# The story.


def run_of(requests, seconds=2.0):
    made = {number: story.Request(*one, False) for number, one in requests.items()}
    return story.Run("way", story.webhook("AAB"), seconds, "no error", made)


def test_a_run_counts_what_overtook_and_adds_up_each_sender():
    run = run_of({1: (0.0, 1.0), 2: (0.5, 0.75), 3: (0.0, 3.0)})
    assert run.overtook == {2}
    assert run.chains == {"Ben": 3.0, "Ada": 1.25}
    assert "3 of 3 handled; 1 overtook" in str(run)
    assert "1 request came to an end later, unnoticed" in str(run)


def test_what_was_left_out_has_overtaken_nobody():
    run = run_of({2: (0.0, 0.5)})
    assert (run.overtook, run.chains) == (set(), {"Ada": 0.5})
    assert "1 of 3 handled" in str(run)
    assert "Ada" in run.drawing().html


def test_a_way_that_asks_for_nothing_is_drawn_as_words():
    assert "0 of 3 handled" in run_of({}).drawing().html


def test_the_speed_up_is_the_shape_of_the_batch():
    said = str(story.speed_ups(ladder.chains, (1, 6, 24)))
    assert "1 of 24: 24.0 x, 6 of 24: 4.0 x, 24 of 24: 1.0 x." in said


def test_a_way_that_fails_in_virtual_time_is_told():
    async def fails(batch, handle, *, limit):
        raise ValueError("no way")

    with pytest.raises(RuntimeError, match="no way"):
        story.speed_ups(fails, (1,))


# On a real service, at full length.


@pytest.mark.prove
async def test_what_the_notebook_shows_on_a_real_service():
    slow = await story.process_here(ladder.one_by_one)
    gathered = await story.process_here(ladder.gathered)
    chains = await story.process_here(ladder.chains, failing=6)
    assert slow.seconds > 1.8
    assert slow.seconds / max(slow.chains.values()) == pytest.approx(2, rel=0.15)
    assert not slow.overtook
    assert len(gathered.overtook) == 18
    assert "[6]" in chains.gets
    assert not chains.overtook
    failed = await story.process_here(ladder.gathered, failing=6)
    assert failed.gets == "ClientResponseError"
    assert "came to an end later" in str(failed)


@pytest.mark.prove
def test_only_what_breaks_the_order_is_above_the_bound():
    found = story.race(ladder.one_by_one, ladder.gathered, ladder.chains, rounds=1)
    bound, _ = story._bound(found)
    assert found["one_by_one"].typical("rate") < found["chains"].typical("rate") <= bound
    assert found["gathered"].typical("rate") > 2 * bound
    assert "Above the bound is only what breaks the order: gathered." in found.sentence
