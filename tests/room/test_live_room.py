"""A live room on a fake clock: keys, limits, and the minutes that lessons take."""

import pytest

from loopclinic.room import live_room
from loopclinic.room.live_room import Allowance, RefusedError

from .conftest import HERE, entry, lab


def refusal(call, *given):
    with pytest.raises(RefusedError) as refused:
        call(*given)
    return refused.value


def names(room):
    return [learner.label for learner, _ in room.people]


def test_everybody_has_a_key_of_their_own_and_a_number_unless_a_name(room, seated):
    keys = [seated(), seated(name="Kim"), seated(name="Kim"), seated(name="")]
    assert len({*keys, room.token, room.view}) == 6
    assert names(room) == ["unnamed 1", "Kim", "Kim (2)", "unnamed 2"]


def test_two_learners_have_two_labels_whatever_they_type(room, seated):
    for name in ("unnamed 1", "", "Kim (2)", "Kim", "Kim", "Kim", "Kim (2)"):
        seated(name=name)
    assert names(room) == [
        *("unnamed 1", "unnamed 2", "Kim (2)", "Kim", "Kim (3)", "Kim (4)", "Kim (2) (2)"),
    ]


def test_an_entry_replaces_the_learners_last_one_and_nobody_elses(room, seated):
    first, _ = seated(name="Kim"), seated(name="Lee")
    room.update(
        first, entry("02", name="Kim", lessons={"01_blocking_sleep": lab(passed=True)}), HERE
    )
    assert [seat.entry.at for _, seat in room.people] == ["02", "01"]


@pytest.mark.parametrize("token", ["", "wrong", "é", "\udcff"])
def test_a_wrong_token_opens_nothing(room, token):
    assert refusal(room.join, token, HERE).status == 403
    assert refusal(room.update, token, entry(), HERE).status == 401
    assert refusal(room.may_view, token, HERE).status == 403
    assert room.people == []


def test_one_secret_does_not_stand_for_another(room, seated):
    key = seated()
    assert refusal(room.update, room.token, entry(), HERE).status == 401  # the line that all have
    assert refusal(room.update, room.view, entry(), HERE).status == 401
    for other in (key, room.token):
        assert refusal(room.may_view, other, HERE).status == 403
    assert refusal(room.join, key, HERE).status == 403
    room.may_view(room.view, HERE)


def test_a_refused_entry_leaves_the_last_one(room, seated):
    key = seated("02", name="Kim")
    assert refusal(room.update, key, b"{", HERE).status == 400
    assert names(room) == ["Kim"]
    assert [seat.entry.at for _, seat in room.people] == ["02"]


def test_so_many_at_once_and_then_so_many_a_second(clock):
    allowance = Allowance(3, 0.5, clock)
    for _ in range(3):
        allowance.take("one")
    assert refusal(allowance.take, "one").wait == 2
    allowance.take("another")
    clock.now += 1.9
    assert refusal(allowance.take, "one").wait == 1
    clock.now += 0.2
    allowance.take("one")
    assert refusal(allowance.take, "one").status == 429
    clock.now += 60
    for _ in range(3):  # what was not used is not saved up
        allowance.take("one")
    assert refusal(allowance.take, "one").status == 429


def test_a_million_addresses_take_no_memory(clock, monkeypatch):
    monkeypatch.setattr(live_room, "_REMEMBERED", 5)
    allowance = Allowance(1, 1.0, clock)
    for number in range(100):
        allowance.take(str(number))
    assert [*allowance._due] == ["95", "96", "97", "98", "99"]


def test_a_learner_who_sends_without_end_is_slowed_down_and_nobody_else(room, seated):
    loud, other = seated(), seated()
    statuses = []
    for _ in range(30):
        try:
            room.update(loud, entry(), HERE)
        except RefusedError as error:
            statuses.append(error.status)
    assert len(statuses) > 15
    assert {*statuses} == {429}
    room.update(other, entry("02"), HERE)


def test_guessing_tokens_is_slowed_down(room):
    statuses = [refusal(room.join, f"{number:012}", HERE).status for number in range(200)]
    assert statuses.count(403) == 60
    assert statuses[60:] == [429] * 140
    room.join(room.token, "192.0.2.8")


def test_a_room_has_an_end_and_who_never_sent_anything_makes_room(room, clock, monkeypatch):
    monkeypatch.setattr(live_room, "MOST", 3)
    key = room.join(room.token, HERE)
    room.update(key, entry(name="Kim"), HERE)
    for _ in range(2):
        room.join(room.token, HERE)
    assert refusal(room.join, room.token, HERE).status == 409
    clock.minutes(2)
    room.join(room.token, HERE)
    assert names(room) == ["Kim", "unnamed 1"]
    clock.minutes(2)
    room.update(key, entry(name="Kim"), HERE)  # an entry keeps the seat


def test_minutes_are_those_between_entries_while_the_clock_runs(room, clock, seated):
    by_number = {one.number: one for one in room.plan.lessons}
    keys = [seated("00") for _ in range(3)]

    def pass_by(minutes, *at):
        for _ in range(minutes):
            clock.minutes(1)
            for key, where in zip(keys, at, strict=False):
                room.update(key, entry(where), HERE)

    pass_by(5, "00", "00", "00")  # before the start
    assert room.minutes_at(by_number["00"]) is None
    room.toggle_clock()
    pass_by(12, "00", "00", "00")
    pass_by(1, "01", "00", "01")  # the minute counts for where they were
    pass_by(20, "01", "00", "01")
    room.toggle_clock()
    pass_by(30, "01", "00", "01")  # a break
    assert room.seconds == 33 * 60
    room.toggle_clock()
    pass_by(2, "01", "00", "01")
    assert room.minutes_at(by_number["00"]) == 13  # of 13, 35 and 13
    assert room.minutes_at(by_number["01"]) == 22  # of the two who were there
    assert room.minutes_at(by_number["02"]) is None


def test_who_was_away_is_counted_for_a_minute_at_most(room, clock, seated):
    room.toggle_clock()
    key = seated("00")
    clock.minutes(40)
    assert [room.is_away(seat) for _, seat in room.people] == [True]
    room.update(key, entry("00"), HERE)
    assert [room.is_away(seat) for _, seat in room.people] == [False]
    assert room.minutes_at(room.plan.lessons[0]) == 1


def test_the_plan_goes_by_the_lessons_own_minutes(room, clock):
    room.toggle_clock()
    planned = []
    for one in room.plan.lessons:
        planned.append(room.planned.number)
        clock.minutes(one.minutes)
    assert planned == ["00", "01", "02"]
    assert room.planned is None
