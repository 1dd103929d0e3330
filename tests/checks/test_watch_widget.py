"""The widget beside a lab, without a browser."""

import time

import pytest

from loopclinic.checks import watch_widget
from tests.checks.conftest import SOLVED
from tests.checks.test_watching import until

pytestmark = [
    pytest.mark.usefixtures("catalogue"),
    # ipywidgets outside a kernel has no comm to speak to, and says so in its own ways.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def watch():
    made = []

    def make():
        made.append(watch_widget.watch("77"))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def press(widget, button):
    widget._receive(None, {"kind": button}, [])


def status_of(widget):
    return widget.verdict and widget.verdict["status"]


def test_a_save_is_answered_while_this_thread_is_busy(lab, watch):
    widget = watch()
    assert "labs/77_tiny.py" in widget.status
    lab.write_text(SOLVED)
    ends = time.monotonic() + 8
    while status_of(widget) != "passed" and time.monotonic() < ends:
        pass  # as busy as a kernel can be
    assert status_of(widget) == "passed"


def test_running_the_cell_twice_leaves_one_watch(lab, watch):
    first, second = watch(), watch()
    assert not first.running
    assert "Another cell" in first.status
    assert second.running


def test_stop_button(lab, watch):
    widget = watch()
    press(widget, "stop")
    until(lambda: "Stopped" in widget.status)  # set last
    assert widget.state == "stopped"
    assert not widget.running


def test_hints_come_in_grades_and_end(lab, watch, tiny):
    widget = watch()
    for grade, text in enumerate(tiny.hints, 1):
        assert widget.hints_left
        press(widget, "hint")
        assert f"Hint {grade} of 3" in widget.note
        assert text in widget.note
    assert not widget.hints_left


def test_boxes_fill_and_saves_are_counted(lab, watch):
    widget = watch()
    assert {one["state"] for one in widget.promises} == {"open"}
    assert widget.saves == []
    press(widget, "check")
    until(lambda: status_of(widget) == "not-yet")
    assert "broken" in {one["state"] for one in widget.promises}
    assert widget.verdict["reasons"][0]["conflict"] == "blocking-sleep"
    assert [one["passed"] for one in widget.saves] == [False]
    lab.write_text(SOLVED)
    until(lambda: status_of(widget) == "passed")
    assert {one["state"] for one in widget.promises} == {"kept"}
    assert [one["passed"] for one in widget.saves] == [False, True]


def test_a_file_that_is_no_python_leaves_every_box_empty(lab, watch):
    widget = watch()
    lab.write_text("def double(:\n")
    until(lambda: status_of(widget) == "not-yet")
    assert {one["state"] for one in widget.promises} == {"not-reached"}
