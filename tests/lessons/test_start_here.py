"""Lesson 00's slider, its pictures, its routes and its self-check."""

import asyncio
import re
import threading
import time

import pytest

from loopclinic.lessons import lessons
from loopclinic.lessons.start_here import lesson_plans, self_check
from loopclinic.lessons.start_here import slider as module
from loopclinic.lessons.start_here.scope_guide import marked
from loopclinic.lessons.start_here.slider import Move, Moves, Slider
from loopclinic.scope import Scope


def message(number, value, sent=None):
    return {
        "page": "page",
        "view": "view",
        "number": number,
        "value": value,
        "sent": time.perf_counter() + 1000 if sent is None else sent,  # another clock
    }


class Shown:
    """What a notebook would show in place of a display's output."""

    def __init__(self):
        self.moves = None

    def update(self, moves):
        self.moves = moves


@pytest.fixture
def shown(monkeypatch):
    """What `during` displays, one after another, without a notebook."""
    handles = []

    def display(_, display_id=False):
        if display_id:
            handles.append(Shown())
            return handles[-1]
        return None

    monkeypatch.setattr(module, "display", display)
    monkeypatch.setattr(module, "_SETTLED", 0)
    return handles


async def drawn(slider):
    """Let the loop hear what is due, and draw."""
    while slider._drawing is not None:
        await asyncio.sleep(0)


def drag(slider, *values):
    """Move it as a page does: on a thread of its own, which is JupyterLab's default."""
    thread = threading.Thread(
        target=lambda: [slider._receive(slider, message(one, one), []) for one in values]
    )
    thread.start()
    thread.join()


async def test_moves_made_while_the_loop_is_stuck_arrive_all_at_once_and_are_drawn(shown):
    slider = Slider()
    slider._receive(slider, message(0, 50), [])
    with slider.during("stuck"):
        drag(slider, 1, 2, 3, 4, 5)
        time.sleep(0.4)
    assert len(slider._made_during(slider._waits[0])) == 0  # the loop has not come to them yet
    await drawn(slider)
    found = slider._made_during(slider._waits[0])
    assert [move.value for move in found.moves] == [1, 2, 3, 4, 5]
    assert all(move.wait > 0.2 for move in found.moves)
    assert "5 moves; 5 waited" in str(found)
    assert str(shown[0].moves) == str(found)
    assert slider.value == 5


async def test_moves_before_and_after_belong_to_no_wait_and_take_nothing_away(shown):
    slider = Slider()
    slider._receive(slider, message(0, 50), [])
    drag(slider, 1)
    with slider.during("stuck"):
        drag(slider, 2, 3)
        time.sleep(0.3)
    drag(slider, 4)
    await drawn(slider)
    before = str(shown[0].moves)
    with slider.during("calm"):
        drag(slider, 5)
        await asyncio.sleep(0)
    drag(slider, 6)
    await drawn(slider)
    assert [move.value for move in slider._made_during(slider._waits[0]).moves] == [2, 3]
    assert [move.value for move in slider._made_during(slider._waits[1]).moves] == [5]
    assert str(shown[0].moves) == before
    assert "calm: 1 move; each reached the loop within" in str(shown[1].moves)


async def test_a_timer_stands_in_for_a_reader_who_does_not_drag(shown, monkeypatch):
    monkeypatch.setattr(module, "_TICK", 0.01)
    slider = Slider()
    with slider.during("stuck"):
        time.sleep(0.5)
    await drawn(slider)
    said = str(shown[0].moves)
    assert re.search(r"nobody dragged, but a timer ticked\. \d+ ticks; \d+ waited", said), said
    assert "<svg" in shown[0].moves._repr_html_()


async def test_a_wait_that_is_interrupted_is_drawn_too(shown):
    slider = Slider()
    slider._receive(slider, message(0, 50), [])

    def interrupted():
        with slider.during("stuck"):
            drag(slider, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    await drawn(slider)
    assert "1 move" in str(shown[0].moves)


async def test_moves_delivered_on_the_loop_itself_are_heard_too():
    slider = Slider()
    slider._receive(slider, message(1, 7), [])
    await asyncio.sleep(0)
    assert slider.value == 7


def test_a_picture_has_a_line_for_each_move_and_each_tick():
    moves = [Move(1, 0.0, 3.0), Move(2, 2.9, 3.001), Move(3, 4.0, 4.004)]
    html = Moves("time.sleep(4)", moves, [Move(0, 0.5, 3.0)]).drawing().html
    assert html.count("stroke-opacity") == 2 * 4  # for a wide page and a narrow one
    assert "3 moves; 2 waited, the first for 3.0 s" in html
    assert "ends coincide" not in html
    assert "both ends coincide" in Moves("asyncio.sleep(4)", moves[2:])._repr_html_()


async def test_what_an_earlier_scope_of_the_same_cell_saw_is_still_marked():
    """Its cell was run again after the loop had been frozen."""
    stall = {"seconds": 4.0, "started": 1.0, "cell": False, "where": "cell [3], line 3",
             "code": "time.sleep(4)", "conflict": None}  # fmt: skip
    with Scope() as scope:
        assert "Nothing has stalled yet" in str(marked(scope))
        scope.earlier = {**scope.recorder.history(), "ticks": [[0.5, 0.001]], "stalls": [stall]}
        drawn = marked(scope)
    assert "long: 4.00 s" in str(drawn)
    assert "Its median here is 1.0 ms." in str(drawn)  # what the scope saw outside the stall
    assert drawn.html.count("lc-stall-block") == 2  # for a wide page and a narrow one
    assert "<code>time.sleep(4)</code>" in drawn.html


async def test_the_self_check_is_well_here_and_names_a_repair_elsewhere(monkeypatch):
    said = str(self_check.self_check())
    assert "to do" not in said
    assert "was tried on" not in said, "this Python is one of those"

    def fail():
        raise OSError("no port left")

    monkeypatch.setitem(self_check._QUESTIONS, "Servers", fail)
    said = str(self_check.self_check())
    assert "Servers: to do; " in said
    assert "loopclinic doctor" in said


def test_routes_count_the_minutes_of_lessons_that_are_there():
    drawing = lesson_plans.routes()
    total = sum(one.minutes for one in lessons())
    assert f"In all {total} min" in str(drawing)
    for one in lessons():
        assert f"{one.name}.ipynb" in drawing.html


@pytest.mark.parametrize("route", lesson_plans.ROUTES, ids=lambda one: one.name)
def test_a_route_holds_its_minutes_and_takes_no_lesson_before_those_that_it_builds_on(route):
    before = set()
    for one in route.lessons:
        assert set(one.requires) <= before, one.number
        before.add(one.number)
    assert route.lessons[0].number == "00"
    # A quarter is for breaks and for labs that a first try does not finish; 90 minutes have one break.
    assert route.minutes <= (route.within or 240) * (0.9 if route.within == 90 else 0.75)
