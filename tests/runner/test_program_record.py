"""Record of a watched program, and its report as text, JSON and page."""

import json
import re
from itertools import pairwise

import pytest

from loopclinic.conflicts import TREATMENTS
from loopclinic.drawing.lag_strip import lag_strip
from loopclinic.probe import CallbackShare, Frame, Share, Stall, Waiters, Waiting
from loopclinic.runner.program import Ending, Target
from loopclinic.runner.program_record import Recording, Series
from loopclinic.runner.program_report import Review
from loopclinic.runner.wording import diagnosis
from tests.runner.outline import Outline

CODE = 'time.sleep(1) if a < b & c else "<script>"'
REPORT = {
    "seconds": 5.0,
    "iterations": 100,
    "utilization": 0.25,
    "lag": {"p50": 0.0, "p95": 0.2, "p99": 0.4, "max": 0.5},
}


def stall(started=1.0, seconds=0.5, line=7, **more):
    frames = tuple(
        Frame(file, number, function, code)
        for file, number, function, code in (
            ("/srv/app.py", 3, "<module>", "asyncio.run(main())"),
            ("/usr/lib/python3/asyncio/events.py", 80, "_run", "self._context.run()"),
            ("/srv/app.py", line, "handler", CODE),
        )
    )
    values = {"conflict": "blocking-sleep", "stack": frames, "code": CODE, "function": "handler"}
    return Stall(started, seconds, file="/srv/app.py", line=line, **(values | more)).to_dict()


@pytest.fixture
def recording():
    found = Recording()
    found.handle({"kind": "hello", "pid": 7, "command": ["python", "app.py"], "python": "3.11.7"})
    return found


def begin(recording, number=1):
    kind = "asyncio.unix_events._UnixSelectorEventLoop"
    message = {"kind": "loop", "id": number, "type": kind, "thread": "MainThread", "at": 0.1}
    recording.handle(message)


TICK = {"kind": "tick", "id": 1, "lag": 0.001, "utilization": 0.1, "tasks": 3, "stall": None}


def tick(recording, at, lag=0.001, now=None, number=1):
    recording.handle(TICK | {"id": number, "at": at, "lag": lag, "stall": now})


def end(recording, number=1):
    recording.handle({"kind": "report", "id": number, "report": REPORT, "over": True})


def review_of(recording, status=0, orderly=True):
    ending = Ending(status, orderly, 6.0)
    return Review.of(recording, Target("app.py", ("<x>",)), ending, threshold=0.05)


@pytest.fixture
def review(recording):
    begin(recording)
    for index in range(50):
        tick(recording, 0.1 * index)
    for one in (stall(1.0, 0.5), stall(2.0, 0.3), stall(3.0, 0.6, line=9, conflict="cpu-bound")):
        recording.handle({"kind": "stall", "id": 1, "stall": one})
    end(recording)
    recording.handle({"kind": "end", "at": 5.5})
    return review_of(recording)


def test_a_stall_that_is_amended_takes_the_place_of_what_was_told_first(recording):
    begin(recording)
    for one in (stall(1.0, 0.5, line=23), stall(2.0, 0.3)):
        recording.handle({"kind": "stall", "id": 1, "stall": one})
    recording.handle({"kind": "amended", "id": 1, "stall": stall(1.0, 0.5, line=15)})
    end(recording)
    places = review_of(recording).places
    assert [(place.stalls[0]["line"], len(place.stalls)) for place in places] == [(15, 1), (7, 1)]


def test_stalls_are_gathered_by_line_the_costliest_first(review):
    assert [(place.worst["line"], len(place.stalls)) for place in review.places] == [(7, 2), (9, 1)]
    assert review.places[0].seconds == pytest.approx(0.8)
    assert "3 stalls over 50.0 ms, 1.40 s in all; app.py:7 took 800 ms" in review.headline


def test_a_place_looks_like_what_most_of_its_time_looks_like(recording):
    begin(recording)
    starved = {"conflict": None, "diagnosis": "Another thread kept the GIL."}
    for one in (stall(1.0, 0.6, **starved), stall(2.0, 0.5), stall(3.0, 0.4)):
        recording.handle({"kind": "stall", "id": 1, "stall": one})
    (place,) = review_of(recording).places
    assert place.worst["seconds"] == pytest.approx(0.6)
    assert place.conflict == "blocking-sleep"
    assert place.telling["seconds"] == pytest.approx(0.5)
    assert "Another thread" not in diagnosis(place)


def test_the_text_names_line_conflict_and_lesson(review):
    text = str(review)
    assert f"2 x 800 ms, worst 500 ms at /srv/app.py:7  {CODE}" in text
    assert f"-> lesson 01 {TREATMENTS['blocking-sleep'][1]}" in text
    assert "utilization 25.0%, lag p50" in text


def test_what_a_loop_had_to_do_at_most_and_its_slowest_callbacks_are_told(recording):
    begin(recording)
    for number, (tasks, requests, queued) in enumerate([(3, 1, 0), (4120, 40, 12), (7, 2, 0)]):
        more = {"tasks": tasks, "requests": requests, "queued": queued}
        recording.handle(TICK | {"at": 0.1 * number} | more)
    for at, seconds, callback in ((1, 0.5, "pay"), (2, 0.3, "ship"), (3, 0.9, "pay"), (4, 2, None)):
        one = stall(at, seconds, callback=callback and f"{callback} in app.py")
        recording.handle({"kind": "stall", "id": 1, "stall": one})
    recording.handle(
        {"kind": "report", "id": 1, "report": REPORT | {"heartbeat": 1.5}, "over": True}
    )
    review = review_of(recording)
    text = str(review)
    assert "at most 4,120 tasks, 40 requests in work, 12 calls waiting for a thread" in text
    assert "in bursts a timer came up to 1.50 s late" in text
    assert "slowest callbacks: pay in app.py 900 ms, ship in app.py 300 ms\n" in text
    page = review.to_html()
    assert "40 requests in work" in page
    assert "; slowest callbacks: pay in app.py 900 ms" in page
    (loop,) = json.loads(review.to_json())["loops"]
    assert loop["peaks"] == {"tasks": 4120, "requests": 40, "queued": 12}
    assert loop["callbacks"][0] == {
        "name": "pay in app.py", "count": 2, "seconds": 1.4, "longest": 0.9,
    }  # fmt: skip


def test_json_holds_it_all(review):
    found = json.loads(review.to_json())
    assert found["schema"] == 1
    assert len(found["loops"][0]["stalls"]) == 3
    assert found["places"][0]["lesson"] == "01"
    assert found["loops"][0]["lag"] == REPORT["lag"]


def test_a_program_cut_off_in_a_stall_is_said_to_have_been_stuck(recording):
    begin(recording)
    tick(recording, 1.5, 0.5, stall(1.0, 0.5))
    review = review_of(recording, -9, orderly=False)
    assert review.stalls == 1
    assert "it was stuck there at the end" in str(review)
    assert "was ended by SIGKILL" in str(review)


def test_a_stall_that_ended_before_the_cut_is_not_counted_twice(recording):
    begin(recording)
    tick(recording, 1.5, 0.5, stall(1.0, 0.5))
    recording.handle({"kind": "stall", "id": 1, "stall": stall(1.0, 0.6)})
    assert review_of(recording, -9, orderly=False).stalls == 1


def test_bursts_and_garbage_have_no_line_and_are_kept_apart(recording):
    begin(recording)
    without = {"file": None, "line": None, "code": None, "conflict": None, "stack": []}
    for more in (
        {"burst": True, "where": "5,000 callbacks"},
        {"burst": True, "where": "6,000 callbacks"},
        {"garbage": 0.3, "where": "garbage collection"},
        {"where": "unknown line"},
    ):
        recording.handle({"kind": "stall", "id": 1, "stall": stall() | without | more})
    end(recording)
    review = review_of(recording)
    said = {place["where"]: place["stalls"] for place in review.to_dict()["places"]}
    assert said == {"bursts of callbacks": 2, "garbage collection": 1, "unknown line": 1}
    assert all(name in review.to_html() for name in said)


def test_memory_stays_bounded_however_long_it_runs(recording):
    begin(recording)
    for index in range(7000):
        recording.handle({"kind": "stall", "id": 1, "stall": stall(index, 0.1 + index * 1e-5)})
    for number in range(2, 1000):
        begin(recording, number)
        if number % 2:
            recording.handle({"kind": "stall", "id": number, "stall": stall(1.0, 0.2, line=11)})
        end(recording, number)
    end(recording)
    review = review_of(recording)
    assert review.stalls == 7000 + 499
    assert [len(place.stalls) for place in review.places] == [5000, 499]
    assert len(review.loops[0].stalls) == 5000
    assert min(one["seconds"] for one in review.loops[0].stalls) > 0.1199, "the longest are kept"
    assert len(review.loops) < 300
    assert len(review.loops) + review.more_loops == 999


def test_a_series_keeps_its_worst_and_its_order_in_few_points():
    series = Series()
    for index in range(100_000):
        series.add(index * 0.1, 9.0 if index == 54_321 else 0.001)
    points = series.points
    assert len(points) <= 1200
    assert max(lag for _, lag in points) == 9.0
    assert all(left[0] < right[0] for left, right in pairwise(points))
    assert points[-1][0] > 9_900
    ((at, _),) = [point for point in points if point[1] == 9.0]
    assert abs(at - 5432.1) < 60


def test_the_page_needs_nothing_but_itself(review):
    page = review.to_html()
    outline = Outline(page)
    assert outline.open == []
    assert not re.search(r"//|url\(|@import|xmlns", page), "no address, also not a relative one"
    names = [name for name, _ in outline.tags]
    assert not {"script", "link", "img", "iframe", "object"} & set(names)
    assert not any(key.startswith("on") for _, attributes in outline.tags for key in attributes)
    targets = {attributes.get("id") for _, attributes in outline.tags}
    links = [attributes["href"] for name, attributes in outline.tags if name == "a"]
    assert links
    assert all(link.startswith("#") and link[1:] in targets for link in links)
    assert "@media print" in page
    assert "color-scheme: light dark" in page


def test_the_page_tells_lines_stacks_and_lessons(review):
    text = " ".join("".join(Outline(review.to_html()).text).split())
    assert CODE in text
    assert "app.py '<x>'" in text
    assert TREATMENTS["blocking-sleep"][1] in text
    assert "/srv/app.py:7 handler" in text.replace("handler", " handler ").replace("  ", " ")
    assert "_run" not in text.partition("The stack")[2], "how the loop was started is left out"
    assert "loopclinic run --threshold 0.05 app.py" in text


def strip(loop):
    span = loop.began, loop.began + float(loop.report.get("seconds", 0.0))
    return lag_strip(loop.series.points, loop.stalls, span=span, title="Lag")


def test_the_strip_has_a_mark_for_each_stall_and_words_for_who_can_not_see_it(review):
    (loop,) = review.loops
    svg, _ = strip(loop).split("</svg>", 1)  # a narrow page has a drawing of its own
    assert svg.count('class="lc-stall-mark"') == 3
    assert "3 stalls, worst 600 ms" in svg
    numbers = [float(x) for x in re.findall(r"[MHVl ](-?\d+\.\d)", svg)]
    assert all(0 <= x <= 920 for x in numbers)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.5, 59.0, 86_400.0])
def test_the_strip_takes_any_length(recording, seconds):
    begin(recording)
    if seconds:
        tick(recording, seconds)
    svg = strip(recording.loops[0])
    assert 2 <= svg.count("text-anchor='middle'") <= 12


def test_what_a_places_other_lines_took_and_who_waited_is_told(recording):
    shares = (
        Share("/srv/app.py", 7, "handler", 0.4, 0.8, CODE),
        Share("/srv/other.py", 3, "helper", 0.1, 0.2, "helper()"),
    )
    handlers = (
        CallbackShare("charge in app.py", "Task-1", 0.4, 0.8),
        CallbackShare("refund in app.py", "Task-2", 0.1, 0.2),
    )
    groups = (Waiters(37, True, ("checkout (app.py:9)", "pay (app.py:12)")),)
    more = {
        "lines": shares,
        "handlers": handlers,
        "callback": "charge in app.py",
        "waiting": Waiting(38, 2, groups),
    }
    begin(recording)
    for one in (stall(1.0, 0.5, **more), stall(2.0, 0.5, **more)):
        recording.handle({"kind": "stall", "id": 1, "stall": one})
    review = review_of(recording)
    text, page, values = str(review), review.to_html(), review.to_dict()
    assert " app.py:7 took 800 ms of it." in review.headline
    assert "800 ms of it there, 200 ms at /srv/other.py:3" in text
    assert "38 tasks were ready, 37 of them in checkout; 2 tasks were suspended." in text
    assert "slowest callbacks: charge in app.py 400 ms, refund in app.py 100 ms" in text
    (place,) = values["places"]
    assert place["own"] == pytest.approx(0.8)
    assert [line["seconds"] for line in place["lines"]] == pytest.approx([0.8, 0.2])
    assert place["waiting"]["groups"][0]["count"] == 37
    assert "width:80%" in page
    assert "checkout (app.py:9) &gt; pay (app.py:12)" in re.sub("<wbr>|\u200b", "", page)
