"""What the live drawings show at a given moment of a run."""

import pytest

from loopclinic.lessons.database.sessions import Session
from loopclinic.lessons.flask_bridge.standstill import crossing
from loopclinic.lessons.sync_database.story import circle
from loopclinic.lessons.unbounded_gather.story import places
from loopclinic.probe import Stall
from loopclinic.servers import Counts


def stall(seconds):
    fields = dict.fromkeys(Stall.__dataclass_fields__)
    return Stall(**{**fields, "seconds": seconds, "file": "lab.py", "line": 7, "function": "run"})


def session(state, wait=""):
    return Session("hang", 1, state, wait, 0.5, "select 1", [])


HOLDS, WORKS = session("idle in transaction"), session("active")
WAITS = session("active", "Lock")


def lit(drawing):
    wide, _ = drawing.html.split("</svg>", 1)  # a narrow page has a drawing of its own
    return wide.count("stroke-width='2.5'"), wide.count("stroke-width='3'")


@pytest.mark.parametrize(
    ("moment", "boxes", "arrows"),
    [
        ([], 0, 0),
        ([None, [WORKS]], 0, 0),
        ([None, [HOLDS]], 2, 1),  # a task holds it, and the loop is free
        ([stall(1.0), []], 1, 1),
        ([stall(0.02), [HOLDS]], 2, 1),  # a hiccup
        ([stall(1.0), [HOLDS]], 3, 3),
    ],
)
def test_the_circle_lights_up_as_each_waits_for_the_next(moment, boxes, arrows):
    drawing, closed = circle(*moment)
    assert lit(drawing) == (boxes, arrows)
    assert closed == (boxes == 3)


def test_the_circle_names_what_is_held():
    dry = circle(stall(1.2), [HOLDS, HOLDS], connections=2)[0]
    assert "2 of 2 connections held" in dry.html
    assert "nobody can go on, for 1.2 s" in dry.html
    locked = circle(stall(1.2), [HOLDS, WAITS])[0]
    assert locked.text.startswith("The loop waits for a row")


def counts(in_flight, **more):
    return Counts(in_flight=in_flight, requests=500, by_status={200: 90, 429: 300}, **more)


def full(drawing):
    return drawing.html.count("lc-full")


@pytest.mark.parametrize(("in_flight", "taken"), [(0, 0), (7, 7), (25, 25), (90, 40)])
def test_places_fill_before_the_queue_and_hold_no_more_than_there_are(in_flight, taken):
    assert full(places(counts(in_flight), 500, capacity=20, queue=20)) == taken


def test_the_words_count_what_waits_on_either_side():
    words = places(counts(25), 800, capacity=20, queue=20).text
    assert "20 of 20 places busy and 5 of 20 in the queue" in words
    assert "90 posts were accepted, 300 refused, 0 reset" in words
    assert "300 more are read and wait in your process" in words


def test_what_stays_is_the_fullest_moment():
    left = places(counts(0), 800, capacity=20, queue=20, fullest=33)
    assert full(left) == 33
    assert left.text.startswith("At its fullest, 20 of 20")


@pytest.mark.parametrize(
    ("waiting", "blocked", "boxes", "arrows", "nobody"),
    [(0, 0, 0, 0, False), (8, 4, 3, 2, True), (3, 4, 3, 2, False), (2, 0, 1, 1, False)],
)
def test_threads_wait_for_the_bridge_and_the_bridge_for_the_table(
    waiting, blocked, boxes, arrows, nobody
):
    drawn = crossing("Bridge", answered=8 - waiting, blocked=blocked)
    assert lit(drawn) == (boxes, arrows)
    assert f"{waiting} of 8 threads wait" in drawn.text
    assert ("No thread is left" in drawn.text) == nobody
