"""Load in a real kernel: functions typed in cells, the kernel's own loop, an interrupt."""

import time

import psutil
import pytest
from jupyter_client.manager import KernelManager

pytestmark = pytest.mark.prove


class Notebook:
    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def send(self, code: str) -> str:
        return self.client.execute(code)

    def result(self, number: str) -> dict[str, str]:
        """Return what the cell printed, its value, its error, and how often it was rewritten."""
        found = {"printed": "", "value": "", "error": "", "html": "", "updates": 0}
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != number:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    found["printed"] += content["text"]
                case "execute_result":
                    found["value"] = content["data"].get("text/plain", "")
                    found["html"] = content["data"].get("text/html", "")
                    found["png"] = "image/png" in content["data"]
                case "update_display_data":
                    found["updates"] += 1
                case "error":
                    found["error"] = f"{content['ename']}: {content['evalue']}"
                case "status" if content["execution_state"] == "idle":
                    return found

    def run(self, code: str) -> dict[str, str]:
        return self.result(self.send(code))

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.manager.provisioner.pid).children(recursive=True)


@pytest.fixture(scope="module")
def notebook():
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    notebook = Notebook(manager)
    try:
        notebook.run(
            "import asyncio, time\nfrom loopclinic import Load, Variant, compare, drive\n"
            "DELAY = 0.06\nload = Load(rate=30, seconds=0.5, arrivals='uniform')"
        )
        notebook.run("async def blocking(request):\n    time.sleep(DELAY)")
        notebook.run("async def calm(request):\n    await asyncio.sleep(DELAY)")
        yield notebook
    finally:
        notebook.client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_cell_puts_the_kernel_s_own_loop_under_load(notebook):
    found = notebook.run("vitals = await drive(blocking, load)\nvitals.answered, str(vitals)")
    assert not found["error"]
    assert found["value"].startswith("(15,")
    assert "cell [2], line 2" in found["value"]
    assert "time.sleep(DELAY)" in found["value"]


def test_functions_of_cells_are_compared_in_processes_of_their_own(notebook):
    found = notebook.run("found = compare(blocking, calm, load=load, rounds=3, warmup=0.1)\nfound")
    assert not found["error"]
    assert found["updates"] >= 6
    assert "blocking" in found["html"]
    stall = notebook.run("str(max(found['blocking'][0].stalls, key=lambda s: s.seconds))")
    assert "cell [2], line 2" in stall["value"]
    assert "time.sleep(DELAY)" in stall["value"]
    assert "<svg" in notebook.run("found.plot()")["html"]
    assert notebook.run("found['calm'][0].errors")["value"] == "{}"
    assert notebook.children() == []


def test_a_captured_session_is_refused_by_its_name(notebook):
    notebook.run("import aiohttp\nsession = aiohttp.ClientSession()")
    notebook.run("async def fetch(request):\n    return session.closed")
    found = notebook.run("compare(fetch, calm, load=load)")
    assert "LoadError" in found["error"]
    assert "uses 'session', a session of this process" in found["error"]
    notebook.run("await session.close()")


def test_an_interrupt_ends_the_comparison_and_nothing_stays(notebook):
    cell = notebook.send("compare(calm, load=Load(rate=10, seconds=60), warmup=0)")
    deadline = time.monotonic() + 20
    while len(notebook.children()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2)
    notebook.manager.interrupt_kernel()
    assert notebook.result(cell)["error"].startswith("KeyboardInterrupt")
    assert notebook.children() == []
    assert notebook.run("1 + 1")["value"] == "2"
    assert notebook.run("(await drive(calm, load)).answered")["value"] == "15"


def test_an_interrupt_while_the_servers_start_ends_them_too(notebook):
    cell = notebook.send("compare(calm, blocking, load=load)")
    deadline = time.monotonic() + 20
    while not notebook.children() and time.monotonic() < deadline:
        time.sleep(0.01)
    notebook.manager.interrupt_kernel()
    assert notebook.result(cell)["error"].startswith("KeyboardInterrupt")
    assert notebook.children() == []
