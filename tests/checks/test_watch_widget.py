"""The notebook's watch, without a browser."""

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


def test_a_save_is_answered_while_this_thread_is_busy(lab, watch):
    widget = watch()
    assert "labs/77_tiny.py" in widget.status
    lab.write_text(SOLVED)
    ends = time.monotonic() + 8
    while "Passed" not in widget.verdict and time.monotonic() < ends:
        pass  # as busy as a kernel can be
    assert "Passed" in widget.verdict


def test_running_the_cell_twice_leaves_one_watch(lab, watch):
    first, second = watch(), watch()
    assert not first.running
    assert "Another cell" in first.status
    assert second.running


def test_stop_button(lab, watch):
    widget = watch()
    widget._stop_button.click()
    until(lambda: not widget.running)
    until(lambda: "Stopped" in widget.status)
    assert not widget.running


def test_hints_come_in_grades_and_end(lab, watch, tiny):
    widget = watch()
    for grade, text in enumerate(tiny.hints, 1):
        widget._hint_button.click()
        assert f"Hint {grade} of 3" in widget._hint.value
        assert text in widget._hint.value
    assert widget._hint_button.disabled


def test_check_now(lab, watch):
    widget = watch()
    widget._check_button.click()
    until(lambda: "Not yet" in widget.verdict)
    assert "blocking-sleep" in widget.verdict
