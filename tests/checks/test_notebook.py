"""A check and a watch in a real kernel, also while its loop is stuck."""

import time

import pytest
from jupyter_client.manager import start_new_kernel

from tests.checks.conftest import HERE, SOLVED

pytestmark = [
    pytest.mark.prove,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PREPARE = f"""
import sys, time
sys.path.insert(0, {HERE!r})
from tiny_lesson import LESSON
from loopclinic.lessons import catalogue
catalogue.lessons = lambda: (LESSON,)
import loopclinic
"""


class Kernel:
    def __init__(self, client):
        self.client = client

    def begin(self, code):
        return self.client.execute(code)

    def messages(self, parent, seconds=40):
        """Yield what the kernel says until the cell is over."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            message = self.client.get_iopub_msg(timeout=seconds)
            kind, content = message["msg_type"], message["content"]
            assert kind != "error", "\n".join(content["traceback"])
            yield kind, content
            if (
                kind == "status"
                and content["execution_state"] == "idle"
                and message["parent_header"].get("msg_id") == parent
            ):
                return
        raise AssertionError("the cell did not end")

    def run(self, code):
        return list(self.messages(self.begin(code)))


@pytest.fixture
def kernel():
    manager, client = start_new_kernel()
    try:
        running = Kernel(client)
        running.run(PREPARE)
        yield running
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_check_shows_its_step_and_its_verdict(kernel, lab):
    said = kernel.run("loopclinic.check('77')")
    shown = [
        content["data"]["text/html"]
        for kind, content in said
        if kind in ("display_data", "update_display_data", "execute_result")
    ]
    assert "with all the rights" in shown[0]
    assert any("Checking: doubling a number" in text for text in shown)
    assert "blocking-sleep" in shown[-1]
    assert not [content for kind, content in said if kind == "stream"]


def test_a_save_is_answered_while_the_kernel_is_stuck(kernel, lab):
    kernel.run("widget = loopclinic.watch('77'); again = loopclinic.watch('77'); again")
    parent = kernel.begin("time.sleep(6)")
    time.sleep(0.5)
    lab.write_text(SOLVED)
    passed = [
        kind
        for kind, content in kernel.messages(parent)
        if kind == "comm_msg" and "'status': 'passed'" in str(content["data"])
    ]
    assert passed == ["comm_msg"]  # before the cell was over, and from one watch only
    said = kernel.run("print(widget.running, again.running); again.stop(); print(again.running)")
    texts = [content["text"] for kind, content in said if kind == "stream"]
    assert "".join(texts).split() == ["False", "True", "False"]
