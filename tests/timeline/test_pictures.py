"""Pictures and file of a timeline: drawn from traces that are written down here."""

import asyncio
import json
import re
from xml.etree import ElementTree as ET

from loopclinic import Timeline
from loopclinic.timeline import Lane, LaneStall, Span, Trace, drawing_of
from loopclinic.timeline.chrome_trace import chrome_trace

BUSY = Trace(
    (
        Lane(
            "reads",
            (
                Span("running", 0.0, 0.1, "app.py:3", "await get()"),
                Span("suspended", 0.1, 0.6, "app.py:3", "await get()", "queue"),
                Span("ready", 0.6, 0.9),
                Span("running", 0.9, 1.0),
            ),
            ended=1.0,
            outcome="failed",
            error="KeyError: 'item'",
        ),
        Lane(
            "blocks",
            (Span("running", 0.5, 0.9, "app.py:9", "time.sleep(0.4)"),),
            born=0.5,
            ended=0.9,
            outcome="cancelled",
            cancel_requests=(0.7,),
        ),
    ),
    1.0,
    (LaneStall(0.5, 0.9, "app.py:9", "time.sleep(0.4)"),),
    notes=("2 tasks got no lane: 2 is the most.",),
)
STEPS = Trace(
    (
        Lane("request 1", (Span("running", 0, 1, label="get -> 19"), Span("suspended", 1, 2))),
        Lane("request 2", (Span("suspended", 0, 1), Span("running", 1, 2, label="get -> 19"))),
    ),
    2,
    unit="steps",
)


def svg(trace):
    html = drawing_of(trace).html
    return ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])


def words(trace):
    return [element.text for element in svg(trace).iter("text")]


def test_a_terminal_shows_a_row_a_lane():
    lines = str(drawing_of(BUSY)).splitlines()
    assert lines[0] == f"{'stalls':>18} {' ' * 32}{'▼' * 25}"
    assert lines[1] == f"{'reads':>18} {'█' * 6}{'─' * 32}{'░' * 19}{'█' * 7} ! KeyError: 'item'"
    assert lines[2] == f"{'blocks':>18} {' ' * 32}{'█' * 25}{' ' * 7} ✕ cancelled"
    assert lines[3] == f"{'0':>20}{'1.00 s':>63}"
    assert lines[-2] == "stall of 400 ms at app.py:9  time.sleep(0.4)"
    assert lines[-1] == "2 tasks got no lane: 2 is the most."


def test_a_page_shows_lanes_waits_ends_and_stalls():
    found = words(BUSY)
    assert {"reads", "blocks", "queue, app.py:3", "! KeyError: 'item'", "✕ cancelled"} <= {*found}
    assert "stall of 400 ms at app.py:9" in found
    titles = [element.text for element in svg(BUSY).iter("title")]
    assert "reads: suspended for 500 ms, waits for queue at app.py:3  await get()" in titles
    assert "cancel requested" in titles
    assert svg(BUSY).get("aria-label") == "Timeline: 2 tasks, 1 stall, over 1.00 s."


def test_of_stalls_close_together_the_longest_has_words_and_no_mark_stands_in_them():
    stalls = (LaneStall(0.1, 0.15, "app.py:1", ""), LaneStall(0.2, 0.6, "app.py:2", ""))
    close = (LaneStall(0.61, 0.63, "app.py:3", ""), LaneStall(0.95, 0.96, "app.py:4", ""))
    found = svg(Trace((Lane("one"),), 1.0, stalls=stalls + close))
    written = [one for one in found.iter("text") if one.text.startswith("stall of")]
    assert [one.text for one in written] == ["stall of 400 ms at app.py:2"]
    (begin,) = (float(one.get("x")) for one in written)
    marks = [one.get("d") for one in found.iter("path") if one.get("class") == "lc-stall-mark"]
    places = [float(re.match(r"M([\d.]+)", one)[1]) for one in marks]
    assert len(places) == 3
    assert not any(begin < one < begin + 180 for one in places)


def test_each_state_has_a_shape_of_its_own():
    blocks = [(one.get("height"), one.get("fill")) for one in svg(BUSY).iter("rect")]
    assert ("16", "var(--lc-lag)") in blocks
    assert ("8", "var(--lc-reset)") in blocks


def test_lanes_of_steps_have_their_labels_and_no_seconds():
    assert words(STEPS).count("get -> 19") == 2
    assert {"0", "1", "2"} < {*words(STEPS)}
    assert svg(STEPS).get("aria-label") == "Timeline: 2 tasks, over 2 steps."
    assert "2 steps" in str(drawing_of(STEPS))


def test_a_picture_is_bounded_and_says_what_it_leaves_out():
    spans = tuple(Span("running", at / 1e4, at / 1e4 + 5e-5) for at in range(10_000))
    trace = Trace(tuple(Lane(f"task {number}", spans) for number in range(30)), 1.0)
    drawn = drawing_of(trace)
    assert len(drawn.html) < 24 * 800 * 300
    assert "Not drawn: 6 lanes, of packages or short. Timeline.save() has them." in drawn.text
    assert words(trace)[0] == "0"


def test_tasks_of_libraries_are_in_the_file_and_not_in_the_picture():
    trace = Trace((Lane("mine"), Lane("theirs", own=False)), 1.0)
    assert "theirs" not in words(trace)
    assert "Not drawn: 1 lane," in drawing_of(trace).text
    assert "theirs" in str(chrome_trace(trace))
    assert "theirs" in words(Trace(trace.lanes[1:], 1.0))


def test_a_name_is_text_and_no_markup():
    trace = Trace((Lane("<b>&", (Span("running", 0, 1),)),), 1.0)
    assert "<b>&" in words(trace)


def test_nothing_yet_is_said_in_words():
    assert str(drawing_of(Trace((), 0.0))) == "No task has run yet."


async def test_the_file_is_in_the_chrome_trace_event_format(tmp_path):
    with Timeline(live=False) as timeline:
        await asyncio.gather(asyncio.sleep(0.01), asyncio.sleep(0.01))
    timeline.save(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text("utf-8"))
    assert {one["ph"] for one in trace["traceEvents"]} == {"M", "X", "i"}
    for one in trace["traceEvents"]:
        assert {"name", "ph", "pid", "tid"} <= {*one}
        assert one["ph"] == "M" or one["ts"] >= 0
        assert one["ph"] != "X" or one["dur"] >= 0
        assert one["ph"] != "i" or one["s"] == "t"


def test_the_file_has_a_row_a_lane_and_one_for_the_stalls():
    events = chrome_trace(BUSY, name="loop 1", origin=2.0)["traceEvents"]
    rows = {one["tid"]: one["args"]["name"] for one in events if one["name"] == "thread_name"}
    assert rows == {0: "stalls", 1: "reads", 2: "blocks"}
    waits = next(one for one in events if one["name"] == "waits for queue")
    assert (waits["ts"], waits["dur"], waits["cat"]) == (2_100_000, 500_000, "suspended")
    assert waits["args"] == {"where": "app.py:3", "code": "await get()"}
    ends = [one["name"] for one in events if one["ph"] == "i"]
    assert ends == ["failed KeyError: 'item'", "cancel requested", "cancelled"]
