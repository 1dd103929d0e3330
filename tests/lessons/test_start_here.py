"""Lesson 00's slider, its pictures, its routes and its self-check."""

import asyncio
import threading
import time

import pytest

from loopclinic.lessons import lessons
from loopclinic.lessons.start_here import routes, self_check
from loopclinic.lessons.start_here.slider import Move, Moves, Slider


def message(number, value, sent=None):
    return {
        "view": "page",
        "number": number,
        "value": value,
        "sent": time.perf_counter() + 1000 if sent is None else sent,  # another clock
    }


async def test_moves_made_while_the_loop_is_stuck_come_in_one_heap():
    slider = Slider()
    slider._receive(slider, message(0, 50), [])

    def page():
        # A thread of its own, as JupyterLab's default is.
        for number in range(1, 6):
            slider._receive(slider, message(number, number), [])
            time.sleep(0.02)

    thread = threading.Thread(target=page)
    thread.start()
    time.sleep(0.5)
    thread.join()
    assert len(slider.take("before")) == 0
    await asyncio.sleep(0)
    found = slider.take("stuck")
    assert [move.value for move in found.moves] == [1, 2, 3, 4, 5]
    assert all(move.wait > 0.3 for move in found.moves)
    assert "5 moves; 5 waited" in str(found)
    assert slider.value == 5


async def test_moves_delivered_on_the_loop_itself_are_heard_too():
    slider = Slider()
    slider._receive(slider, message(1, 7), [])
    await asyncio.sleep(0)
    assert slider.value == 7


async def test_asked_again_the_same_moves_are_shown():
    slider = Slider()
    slider._receive(slider, message(1, 7), [])
    await asyncio.sleep(0)
    first = slider.take("one")
    assert slider.take("one") is first
    assert "was not moved" in str(slider.take("two"))


def test_a_picture_has_a_line_for_each_move():
    moves = Moves([Move(1, 0.0, 3.0), Move(2, 2.9, 3.001), Move(3, 4.0, 4.004)], "time.sleep(4)")
    html = moves._repr_html_()
    assert html.count("stroke-opacity") == 3
    assert "3 moves; 2 waited, the first for 3.0 s" in html.replace("</code>", "")


def test_moves_of_long_ago_are_left_out():
    assert len(Moves([Move(1, 0.0, 0.1), Move(2, 100.0, 100.1)])) == 1


async def test_the_self_check_is_well_here_and_names_a_repair_elsewhere(monkeypatch):
    assert "to do" not in str(self_check.self_check())

    def fail():
        raise OSError("no port left")

    monkeypatch.setitem(self_check._QUESTIONS, "Servers", fail)
    said = str(self_check.self_check())
    assert "to do  Servers" in said
    assert "loopclinic doctor" in said


def test_routes_count_the_minutes_of_lessons_that_are_there():
    drawing = routes.routes()
    total = sum(one.minutes for one in lessons())
    assert f"({total} min)" in str(drawing)
    for one in lessons():
        assert f"{one.name}.ipynb" in drawing.html


@pytest.mark.parametrize("numbers", routes.ROUTES.values())
def test_routes_begin_at_the_beginning(numbers):
    assert not numbers or numbers[0] == "00"
