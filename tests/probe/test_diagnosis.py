"""Diagnosis of synthetic stacks: conflict, line and sentence."""

import asyncio
import concurrent.futures
import gc
import http.client
import importlib
import inspect
import json
import logging.handlers
import multiprocessing.connection
import multiprocessing.queues
import multiprocessing.util
import pathlib
import queue
import re
import selectors
import shutil
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import urllib.request

import httpx
import psycopg
import pytest
import requests
import urllib3

from loopclinic.blocking_calls import catalogue, words
from loopclinic.conflicts import CONFLICTS
from loopclinic.probe import Frame, Stall, garbage, meter
from loopclinic.probe.diagnosis import Evidence, detect, diagnose, findings
from loopclinic.probe.schedule import Times
from loopclinic.probe.stack import Sample, of_frames
from loopclinic.probe.stall_samples import StallSamples

from .fakes import FakeLoop

LIB = "/usr/lib/python3.11"
SITE = "/v/site-packages"


def frame(code, file="/home/ada/app.py", function="f"):
    return Frame(file, 1, function, code)


def below(*files, function="f"):
    return tuple(frame("", file, function) for file in files)


def running(function):
    """Return the frame of a function that has run its first line."""
    code = inspect.unwrap(function).__code__
    return Frame(code.co_filename, code.co_firstlineno, code.co_name, "")


CALLED = [
    # what the user's line called, outermost first; the conflict, and what is named
    (
        (requests.get, requests.Session.request, socket.SocketIO.readinto),
        "blocking-http",
        "requests.get",
    ),
    (
        (requests.Session.post, socket.SocketIO.readinto),
        "blocking-http",
        "requests.sessions.Session.post",
    ),
    ((httpx.Client.get, httpx.Client.send), "blocking-http", "httpx.Client.get"),
    ((urllib.request.urlopen,), "blocking-http", "urllib.request.urlopen"),
    ((urllib3.PoolManager.request,), "blocking-http", "urllib3.PoolManager.request"),
    (
        (http.client.HTTPConnection.getresponse,),
        "blocking-http",
        "http.client.HTTPConnection.getresponse",
    ),
    ((psycopg.Cursor.execute,), "blocking-db", "psycopg.Cursor.execute"),
    ((psycopg.Connection.commit,), "blocking-db", "psycopg.Connection.commit"),
    (
        (subprocess.run, subprocess.Popen.communicate, selectors.PollSelector.select),
        "blocking-subprocess",
        "subprocess.run",
    ),
    (
        (subprocess.Popen.__init__, subprocess.Popen._execute_child),
        "blocking-subprocess",
        "subprocess.Popen.__init__",
    ),
    ((subprocess.Popen.wait,), "blocking-subprocess", "subprocess.Popen.wait"),
    (
        (multiprocessing.Process.start, multiprocessing.util._exit_function),
        "blocking-subprocess",
        None,
    ),
    (
        (threading.Event.wait, threading.Condition.wait),
        "blocking-sync-primitive",
        "threading.Event.wait",
    ),
    ((threading.Thread.join,), "blocking-sync-primitive", "threading.Thread.join"),
    (
        (multiprocessing.queues.Queue.get, multiprocessing.connection.Connection.recv_bytes),
        "blocking-sync-primitive",
        "multiprocessing.queues.Queue.get",
    ),
    ((queue.Queue.get, threading.Condition.wait), "blocking-sync-primitive", "queue.Queue.get"),
    (
        (concurrent.futures.Future.result, threading.Condition.wait),
        "blocking-sync-primitive",
        "concurrent.futures.Future.result",
    ),
    ((concurrent.futures.ThreadPoolExecutor.shutdown,), "blocking-sync-primitive", None),
    ((socket.getaddrinfo,), "blocking-net", "socket.getaddrinfo"),
    ((socket.create_connection,), "blocking-net", "socket.create_connection"),
    ((smtplib.SMTP.__init__, socket.create_connection), "blocking-net", "smtplib.SMTP.__init__"),
    (
        (
            logging.info,
            logging.Handler.handle,
            logging.handlers.SMTPHandler.emit,
            smtplib.SMTP.__init__,
        ),
        "blocking-net",
        None,
    ),
    ((logging.info, logging.Handler.handle, logging.StreamHandler.emit), "blocking-file-io", None),
    ((shutil.copyfile,), "blocking-file-io", "shutil.copyfile"),
    ((shutil.rmtree,), "blocking-file-io", "shutil.rmtree"),
    ((pathlib.Path.read_text,), "blocking-file-io", "pathlib.Path.read_text"),
    ((tempfile.mkstemp,), "blocking-file-io", "tempfile.mkstemp"),
    ((ssl.create_default_context,), "blocking-file-io", "ssl.create_default_context"),
    (
        (httpx.AsyncClient.__init__, httpx.create_ssl_context, ssl.create_default_context),
        "blocking-file-io",
        "httpx.AsyncClient.__init__",
    ),
    ((importlib.import_module, importlib._bootstrap._find_and_load), "blocking-file-io", None),
    ((json.loads, json.JSONDecoder.decode), None, None),
    ((re.match,), None, None),
    ((asyncio.BaseEventLoop.call_soon,), None, None),
]


@pytest.mark.parametrize(
    "case", CALLED, ids=lambda one: one[0][-1].__qualname__ + f" of {len(one[0])}"
)
def test_what_a_library_was_called_for(case):
    functions, conflict, named = case
    found = detect(Evidence([frame("x"), *map(running, functions)], 0))
    assert (found.kind if found else None) == conflict
    assert named is None or found.name == named


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (f"{SITE}/redis/connection.py", "blocking-redis"),
        (f"{SITE}/minio/api.py", "blocking-sdk"),
        (f"{SITE}/pymongo/network.py", "blocking-db"),
        (f"{SITE}/nobody/knows.py", "blocking-net"),
    ],
)
def test_a_client_that_waits_for_its_socket_is_the_client(file, expected):
    stack = [frame("x = r.get(k)"), *below(file), running(socket.create_connection)]
    assert detect(Evidence(stack, 0, computes=False)).kind == expected
    stack[1] = Frame(file, 1, "f", "", coroutine=True)
    assert detect(Evidence(stack, 0, computes=False)).kind == "blocking-net"


def test_an_async_client_that_reads_an_answer_computes():
    stack = [
        frame("await r.get(k)"),
        Frame(f"{SITE}/redis/asyncio/client.py", 1, "get", "", coroutine=True),
    ]
    stack += below(f"{SITE}/redis/_parsers/resp3.py")
    found = diagnose(Evidence(stack, 0, computes=True), 0.3, 0.99)
    assert found.conflict == "cpu-bound"


@pytest.mark.parametrize(
    "runs", [asyncio.run, asyncio.Runner.run, asyncio.BaseEventLoop.run_until_complete]
)
def test_a_loop_inside_the_loop(runs):
    assert detect(Evidence([frame("x"), running(runs)], 0)).kind == "nested-loop"


IMPORTED = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")
FINDS = running(importlib._bootstrap._find_and_load)


def test_an_import_is_named_as_one_and_what_it_runs_into_is_not():
    below_it = [FINDS, frame("", IMPORTED[1], "exec_module"), running(socket.create_connection)]
    found = diagnose(Evidence([frame("import redis"), *below_it], 0, True, True), 0.74)
    assert found.conflict == "blocking-file-io"
    assert found.sentence == "An import held the loop for 740 ms: import it before the loop runs."


def test_a_call_that_only_reads_a_module_for_its_source_is_no_import():
    called = [frame("", IMPORTED[1], "get_data")]
    assert detect(Evidence([frame("x = f()"), *called], 0)) is None


def test_of_an_import_the_line_that_imports_is_named():
    loop = (asyncio.events.__file__, 80, "_run")
    frames = [loop, ("/home/ada/app.py", 4, "serve"), (FINDS.file, 1, "_find_and_load")]
    frames += [("/home/ada/settings.py", 2, "<module>"), (FINDS.file, 1, "_find_and_load")]
    found = of_frames([*frames, ("/home/ada/table.py", 9, "<module>")])
    assert found.place == ("/home/ada/app.py", 4, "serve")


@pytest.mark.parametrize(
    ("code", "conflict", "said"),
    [
        ("TABLE = build()", "blocking-file-io", "An import"),
        ("time.sleep(5)", "blocking-sleep", "A blocking sleep (time.sleep)"),
    ],
)
def test_the_body_of_a_module_that_a_library_imports(code, conflict, said):
    stack = [
        frame("", IMPORTED[0], "_call_with_frames_removed"),
        frame(code, "/home/ada/settings.py", "<module>"),
    ]
    found = diagnose(Evidence(stack, 1), 0.74)
    assert (found.conflict, found.sentence.partition(" held")[0]) == (conflict, said)


def test_every_kind_of_the_catalogue_has_words():
    kinds = {entry.kind for entry in catalogue().entries if entry.kind}
    assert kinds <= set(CONFLICTS)
    unknown = words("no such kind")
    for kind in kinds | {"blocking-retry", "thread-lock-in-async"}:
        assert words(kind) != unknown


def test_a_thread_that_computes_does_not_wait_whatever_its_line_says():
    found = diagnose(Evidence([frame("sleep(0.5)")], 0, computes=True), 0.74, 0.98)
    assert found.conflict == "cpu-bound"
    assert "740 ms, 98% of it at work" in found.sentence


def test_a_library_that_computes_is_still_the_library():
    stack = [frame("json = requests.get(u)"), running(requests.get)]
    assert diagnose(Evidence(stack, 0, computes=True), 0.5).conflict == "blocking-http"


def test_another_threads_call_is_not_blamed_on_the_loops_line():
    found = diagnose(Evidence([frame("sleep(0.5)")], 0, computes=False, gil_held=True), 1.5)
    assert found.conflict is None
    assert found.sentence == "Another thread kept the GIL and held the loop for 1.50 s."


def test_what_nothing_tells_is_left_open():
    assert diagnose(Evidence([frame("x = f()")], 0), 0.5) is None
    waited = diagnose(Evidence([frame("x = f()")], 0, computes=False), 0.5)
    assert waited.conflict is None
    assert waited.sentence == "The line waited and held the loop for 500 ms: for what is not known."


RETRY = """
def fetch():
    for attempt in range(3):
        try:
            return ask()
        except OSError:
            time.sleep(2 ** attempt)  # a loop over attempts

def poll():
    while True:
        try:
            return ask()
        except OSError:
            time.sleep(1)  # after an error

def pace():
    for row in rows:
        time.sleep(1)  # no retry

def retry_later():
    time.sleep(1)  # by its name
"""


@pytest.mark.parametrize(
    ("mark", "function", "expected"),
    [
        ("a loop over attempts", "fetch", "blocking-retry"),
        ("after an error", "poll", "blocking-retry"),
        ("no retry", "pace", "blocking-sleep"),
        ("by its name", "retry_later", "blocking-retry"),
    ],
)
def test_a_sleep_between_attempts_is_a_retry(tmp_path, mark, function, expected):
    path = tmp_path / "app.py"
    path.write_text(RETRY)
    line = 1 + next(i for i, one in enumerate(RETRY.splitlines()) if mark in one)
    stack = [Frame(str(path), line, function, RETRY.splitlines()[line - 1].strip())]
    assert detect(Evidence(stack, 0)).kind == expected


LOCKED = """
async def pay(self):
    with self.lock:
        await self.bank()

async def count(self):
    with self.tally:
        self.total += 1

async def close(self):
    self.lock.acquire()
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [(3, "thread-lock-in-async"), (7, "blocking-sync-primitive"), (11, "thread-lock-in-async")],
)
def test_a_lock_that_is_held_across_an_await(tmp_path, line, expected):
    path = tmp_path / "app.py"
    path.write_text(LOCKED)
    stack = [Frame(str(path), line, "f", LOCKED.splitlines()[line - 1].strip(), coroutine=True)]
    found = diagnose(Evidence(stack, 0, computes=False), 0.3)
    assert found.conflict == expected
    assert "asyncio" in found.sentence


def case_of(code, indices, total):
    case = StallSamples(0.0)
    for number, index in enumerate(indices, start=1):
        frames = (("/home/ada/app.py", 1, "fetch"),)
        if code:
            called = running(socket.create_connection)
            frames += ((called.file, called.line, called.function),)
        found = Sample(frames, 0, synchronous_cell=False, callback=(index, total))
        case.add(found, number * 0.01)
    return case


@pytest.mark.parametrize("computes", [False, None, True])
def test_the_sockets_of_asyncio_itself_do_not_block(computes):
    """On a busy machine its calls wait for a processor; only other sockets are to be replaced by its streams."""
    code = "n = self._sock.send(data)"
    own = [frame(code, f"{LIB}/asyncio/selector_events.py", "write")]
    assert detect(Evidence(own, 0, computes=computes)) is None
    theirs = [frame(code, "/home/ada/asyncio/link.py", "write")]
    assert (detect(Evidence(theirs, 0, computes=computes)) is None) == (computes is True)


def test_a_burst_has_a_number_and_no_line():
    fields = findings(case_of("", range(100, 5000, 100), 5000), 0.0, 0.5, 0.05)
    assert fields["burst"]
    assert "file" not in fields
    assert "5,000 callbacks in 500 ms" in fields["diagnosis"]
    assert "mostly in fetch" in fields["diagnosis"]


def test_many_callbacks_that_all_wait_in_one_library_have_a_line():
    fields = findings(case_of("recv", range(10, 50), 60), 0.0, 0.5, 0.05)
    assert fields["conflict"] == "blocking-net"
    assert fields["line"] == 1
    assert fields["callbacks"] == 60


@pytest.fixture
def collections(monkeypatch):
    runs = garbage.deque()
    monkeypatch.setattr(garbage, "runs", runs)
    return runs


def recorded(began, seconds, freed):
    """Return a collection that no Python caused, as it is recorded."""
    info = {"generation": 2, "collected": freed}
    return (began, 0.0), began + seconds, seconds, info, [], 0


@pytest.mark.parametrize(
    ("file", "function"),
    [(selectors.__file__, "select"), (meter.__file__, "timed")],
)
def test_a_loop_that_only_polls_blames_no_line(file, function):
    case = StallSamples(0.0)
    outer = (("/home/ada/app.py", 9, "<module>"), (f"{LIB}/asyncio/runners.py", 190, "run"))
    case.add(Sample((*outer, (file, 468, function)), 0, False), 0.03)
    case.work(0.03, Times(0.0, 0.0))
    case.work(0.06, Times(0.03, 0.0))
    found = findings(case, 0.0, 0.06, 0.05)
    assert "file" not in found
    assert "conflict" not in found
    assert "60.0 ms for a processor" in found["diagnosis"]


def test_a_long_collection_is_named_as_such(collections):
    loop = FakeLoop()
    with loop.probe() as probe:
        loop.idle(1.0)
        collections.append(recorded(loop.now + 0.01, 0.18, 12345))
        loop.look(probe, 0.2)
        loop.busy(0)
        loop.idle(1.0)
        collections.append(recorded(loop.now + 0.01, 0.02, 0))
        loop.look(probe, 0.2)
        loop.busy(0)
    long, short = probe.report().stalls
    assert long.file is None
    assert long.where == "garbage collection"
    assert long.diagnosis.startswith("A garbage collection took 180 ms of 200 ms")
    assert "12,345 objects" in long.diagnosis
    assert long.garbage == pytest.approx(0.18)
    assert short.line, "a collection that explains a tenth of a stall explains no stall"
    assert short.garbage == pytest.approx(0.02)


def test_a_collection_lasts_also_while_it_waits_for_a_processor_but_one_that_only_waits_is_none(
    collections,
):
    now, done = [1.0], [0.0]
    heard = garbage._recorder(lambda: now[0], lambda: done[0])
    for seconds, work, freed in ((0.23, 0.0005, 1), (0.2, 0.02, 7)):
        for phase, found in (("start", 0), ("stop", freed)):
            for one in heard:
                one(phase, {"generation": 2, "collected": found})
            if phase == "start":
                now[0] += seconds
                done[0] += work
    found = garbage.during(0.0, now[0])
    assert found.seconds == pytest.approx(0.2)
    assert (found.times, found.freed, found.generation) == (1, 7, 2)
    assert found.longest.sample.frames[-1][2].startswith("test_a_collection_lasts")


@pytest.mark.parametrize(
    ("work", "words"),
    [(0.02, "7 objects freed, 20.0 ms of it at work)"), (0.17, "7 objects freed)")],
)
def test_a_collection_that_waited_for_its_processor_is_told_as_such(collections, work, words):
    info = {"generation": 2, "collected": 7}
    collections.append(((100.0, 0.0), 100.18, work, info, [], 0))
    found = findings(None, 100.0, 100.2, 0.05)
    assert found["garbage"] == pytest.approx(0.18)
    assert words in found["diagnosis"]


def test_of_a_collection_in_another_thread_only_its_work_counts(collections):
    names = {"__name__": "threading"}
    code = compile("pass", threading.__file__, "exec").replace(co_name="_bootstrap")
    info = {"generation": 0, "collected": 0}
    collections.append(((100.0, 0.0), 105.0, 0.002, info, [(code, 1, 0, names)], 0))
    assert garbage.during(100.0, 105.0).seconds == pytest.approx(0.002)


def test_others_that_a_collection_calls_back_are_no_part_of_it(monkeypatch):
    def other(*_):
        raise AssertionError

    monkeypatch.setattr(gc, "callbacks", [other])
    monkeypatch.setattr(garbage, "_listeners", 0)
    garbage.listen()
    assert [one is other for one in gc.callbacks] == [False, False, True, False]
    assert gc.callbacks[-1] is garbage._heard[0], "it starts last, and stops first"
    garbage.unlisten()
    assert gc.callbacks == [other]


def test_a_short_collection_is_not_recorded(collections):
    clock = iter([1.0, 1.0009, 2.0, 2.0011, 2.0011])
    heard = garbage._recorder(lambda: next(clock), lambda: 0.0)
    for number, phase in enumerate(("start", "stop") * 2):
        for one in heard:
            one(phase, {"generation": 0, "collected": number})
    assert [info["collected"] for _, _, _, info, *_ in collections] == [3]


@pytest.mark.parametrize(
    ("cheap", "said"), [(25, "for 445 ms of 700 ms: "), (5, "for 700 ms, 90% of it at work: ")]
)
def test_a_cause_is_told_of_its_own_lines_time(cheap, said):
    outer = ("/usr/lib/python3.11/asyncio/events.py", 84, "_run")
    case = StallSamples(0.0)
    for number in range(1, 71):
        mine = (
            ("/home/ada/app.py", 2, "cheap") if number <= cheap else ("/home/ada/app.py", 5, "dear")
        )
        case.add(Sample((outer, mine), 1, synchronous_cell=False), number * 0.01)
    case.work(0.0, Times(0.0, 0.0))
    case.work(0.7, Times(0.63, 0.0))
    found = findings(case, 0.0, 0.7, 0.05)
    assert found["line"] == 5
    assert f"Computation held the loop {said}" in found["diagnosis"]


def test_what_has_no_frame_is_told_as_no_line_of_the_loops():
    case = StallSamples(0.0)
    runs = (asyncio.events.__file__, 80, "_run")
    for number in range(1, 31):
        case.add(Sample((runs,), 0, synchronous_cell=False), number * 0.01)
    found = findings(case, 0.0, 0.3, 0.05)
    assert found["diagnosis"] == (
        "A function of C that the loop called, or what a callback freed at its end, "
        "held the loop for 300 ms."
    )


def test_the_probes_own_work_is_no_line_of_the_programs():
    case = StallSamples(0.0)
    frames = ((asyncio.runners.__file__, 80, "run"), (meter.__file__, 9, "record_busy"))
    for number in range(1, 31):
        case.add(Sample(frames, 1, synchronous_cell=False), number * 0.01)
    found = findings(case, 0.0, 0.3, 0.05)
    assert "file" not in found
    assert found["diagnosis"].startswith(
        "The probe's own work on the stall before it held the loop"
    )


@pytest.mark.parametrize(
    ("waited", "surely", "said", "where"),
    [
        (0.0, False, "Another thread kept the GIL and held", "another thread"),
        (None, True, "A call that was over, or another thread, kept the GIL", "unknown line"),
        (None, False, "300 ms at unknown line", "unknown line"),
    ],
    ids=["it wanted nothing", "its times are not known", "nor whether it was the GIL"],
)
def test_a_loop_seen_between_callbacks_did_not_keep_the_gil_only_if_its_times_say_so(
    waited, surely, said, where
):
    case = StallSamples(0.0)
    runs = ("/usr/lib/python3.11/asyncio/runners.py", 118, "run")
    case.add(Sample((runs,), 0, synchronous_cell=False), 0.3)
    case.gil_likely, case.gil_held = True, surely
    if waited is not None:
        case.work(0.0, Times(0.0, 0.0))
        case.work(0.3, Times(0.001, waited))
    found = Stall(0.0, 0.3, **findings(case, 0.0, 0.3, 0.05))
    assert str(found).startswith(said)
    assert (found.where, found.gil_held) == (where, surely or waited is not None)
