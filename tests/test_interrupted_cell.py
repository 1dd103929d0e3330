"""What a cell shows when it is interrupted, in an IPython of a child process that stands in for a kernel."""

import json
import subprocess
import sys

import pytest

CELLS = {
    "ours": """
from loopclinic.drawing.charts import Bar, bars
def write(_):
    signal.raise_signal(signal.SIGINT)
bars([Bar("a", 1.0)], write=write, label="")""",
    "the reader's": "signal.raise_signal(signal.SIGINT)",
    "awaits ours": """
from loopclinic.servers.sync_async import in_thread
signal_soon()
await in_thread(threading.Event().wait)""",
    "cancels itself": """
def work():
    raise asyncio.CancelledError
await in_thread(work)""",
    "awaits, and the loop is idle": "signal_soon()\nawait asyncio.sleep(60)",
    "in a callback": """
class Thing: pass
thing = Thing()
seen = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
del thing
time.sleep(60)""",
    "is none": "1 / 0",
}
KERNEL = """
import asyncio, json, os, signal, sys, threading, time, weakref
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.kernel = None
shown = []
shell._showtraceback = lambda kind, error, lines: shown.append(chr(10).join(lines))
from loopclinic.interrupted_cell import install

install()

def signal_soon():
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()

shell.push(dict(globals()))

async def main():
    found = {}
    for name, code in json.load(sys.stdin).items():
        shown.clear()
        cell = asyncio.ensure_future(shell.run_cell_async(code, transformed_cell=code))
        if "await " in code:  # as ipykernel does: no wake-up with it
            loop = asyncio.get_running_loop()
            signal.signal(signal.SIGINT, lambda *_: loop.call_soon(cell.cancel))
        else:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        await asyncio.wait([cell])
        found[name] = shown[0] if shown else "nothing"
    print(json.dumps(found))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    pytest.importorskip("IPython")
    run = subprocess.run(
        [sys.executable, "-c", KERNEL],
        input=json.dumps(CELLS),
        env={"IPYTHONDIR": str(tmp_path_factory.mktemp("ipython"))},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,  # each cell that misses its interrupt goes on for 60 s
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return json.loads(run.stdout)


def test_an_interrupt_inside_the_kit_is_one_sentence_that_names_the_reader_s_line(shown):
    said = "Interrupted at cell [1], line 4. The kernel is ready: run this cell again."
    assert shown["ours"] == shown["awaits ours"] == said


@pytest.mark.parametrize("cell", ["the reader's", "cancels itself", "is none"])
def test_all_else_keeps_its_traceback(shown, cell):
    assert "Traceback (most recent call last)" in shown[cell]
    assert "Interrupted" not in shown[cell]


@pytest.mark.parametrize("cell", ["awaits, and the loop is idle", "in a callback"])
def test_an_interrupt_is_neither_late_nor_lost(shown, cell):
    assert "Error" in shown[cell] or "Interrupt" in shown[cell]
