"""Commands under comparison: measurement of their loops, and failures."""

import json
import math
import os
import re
import sys
from functools import partial

import psutil
import pytest

from loopclinic.design import command as command_module
from loopclinic.design.command import Command, is_command
from loopclinic.import_path import LoadError
from loopclinic.load.by_value import pack
from loopclinic.load.comparison import Comparison
from loopclinic.load.interleave import compare
from loopclinic.load.request_schedule import Load

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands are watched on POSIX")

SHORT = Load(rate=40, seconds=0.5, arrivals="uniform", timeout=2, method="GET")
quietly = partial(compare, load=SHORT, rounds=1, warmup=0.1, progress=False)

SERVER = """
import asyncio, sys, time
print("serving", flush=True)

async def answer(reader, writer):
    while await reader.readline() not in (b"", b"\\r\\n"):
        pass
    WORK
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()

asyncio.run(main())
"""
THREADED = """
import asyncio, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answer(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass
    def do_GET(self):
        WORK
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


@pytest.fixture
def command(tmp_path):
    """Write a server and return it as a command."""

    def make(source, work="pass", name="server", python="python"):
        (tmp_path / f"{name}.py").write_text(source.replace("WORK", work), "utf-8")
        return Command(f"{python} {tmp_path / f'{name}.py'} {{port}}")

    return make


def children():
    return set(psutil.Process().children(recursive=True))


def test_the_loop_of_a_command_is_measured_from_within(command):
    before = children()
    blocking = command(SERVER, "time.sleep(0.06)", "blocking")
    asleep = command(SERVER, "await asyncio.sleep(0.06)", "asleep")
    found = quietly(blocking, asleep)
    assert children() == before
    assert found.variants == ("blocking", "asleep")
    assert all(one.startswith("command, CPython 3.") for one in found.served)
    assert found.notes == ()
    (stuck,), (free,) = found.rounds
    assert stuck.answered == free.answered == 20
    lines = {(stall.line, stall.code) for stall in stuck.stalls}
    assert any(code == "time.sleep(0.06)" for _, code in lines)
    assert stuck.lag.max > 0.05
    assert stuck.utilization > 2 * free.utilization
    assert len(stuck.lag_series) >= 5


@pytest.mark.parametrize(
    ("work", "note"),
    [
        ("pass", "no event loop ran in the process that was started"),
        ("asyncio.run(asyncio.sleep(0))", r"\d\d event loops were begun .*loop-per-call"),
    ],
)
def test_a_command_without_a_loop_of_its_own_is_told(command, work, note):
    found = quietly(command(THREADED, work))
    ((run,),) = found.rounds
    assert run.answered == 20
    (said,) = found.notes
    assert re.search(note, said)
    again = Comparison.from_dict(json.loads(found.to_json()))
    assert again.notes == found.notes
    assert str(again) == str(found)
    assert str(found.plot("lag"))


def test_a_python_that_can_not_be_watched_is_compared_all_the_same(command):
    found = quietly(command(SERVER, python="python -I"))
    assert found.rounds[0][0].answered == 20
    assert "not watched: it is no Python program" in found.notes[0]
    assert math.isnan(found.median("lag_max", "server"))
    assert "none" in str(found)


FAULTS = {
    "crashes at once": (
        "raise SystemExit('no database')",
        "ended with status 1 before it listened",
    ),
    "is silent": ("import time; time.sleep(60)", "did not listen on 127.0.0.1, port"),
    "can't be started": (None, "'no-such-program-here' can't be started"),
    "crashes under load": (
        SERVER.replace("WORK", "import os; os._exit(3)"),
        "died under load.*status 3",
    ),
    "hangs": (
        SERVER.replace("WORK", "time.sleep(60)"),
        "none of 20 requests within .*stuck at server.py:8",
    ),
    "prints without end at its start": (
        "while True: print('x' * 1000)",
        r"did not listen on.* printed [\d,]+ MB",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.rows(2)
def test_a_command_that_fails_gets_a_sentence_and_leaves_nothing(command, fault, monkeypatch):
    source, words = FAULTS[fault]
    before = children()
    variant = command(source) if source else Command("no-such-program-here {port}")
    if "listen on" in words:
        monkeypatch.setattr(command_module, "LISTENS", 3.0)
    with pytest.raises(LoadError, match=words) as caught:
        quietly(variant, warmup=0)
    assert "compare again" in str(caught.value) or "Load(timeout" in str(caught.value)
    assert children() == before


def test_a_command_that_prints_without_end_is_told(command):
    found = quietly(command(SERVER, "print('x' * 200_000)"))
    assert any(re.search(r"printed [45] MB meanwhile", note) for note in found.notes), found.notes


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("python shop/serve.py before --port {port}", "serve before"),
        ("python -m uvicorn shop.web:app --port {port}", "uvicorn shop.web:app"),
        ("gunicorn -w 1 -b 127.0.0.1:{port} shop:app", "gunicorn shop:app"),
        ("python -X dev -I serve.py {port}", "serve"),
        ("./serve {port}", "serve"),
    ],
)
def test_a_command_is_named_by_what_it_runs(line, name):
    assert is_command(line)
    assert Command(line).name == name


@pytest.mark.parametrize(
    ("line", "words"),
    [("python app.py", "names no port"), ("python 'app.py {port}", "can't be split into words")],
)
def test_a_command_that_is_none_is_refused(line, words):
    with pytest.raises(LoadError, match=words):
        Command(line)


def test_python_is_this_python(command):
    assert pack(command(SERVER))["words"][0] == sys.executable
