"""Recognizing the blocking call in progress: Python functions by their code, C functions by the source."""

import ast
import importlib.util
import linecache
import sys
import time

import pytest

from loopclinic.probe import Frame
from loopclinic.probe.blocking_frames import CallIndex
from loopclinic.probe.diagnosis import Evidence, detect

HEAD = """
import asyncio, fcntl, gc, hashlib, json, os, queue, re, select, shutil, signal, socket, sqlite3, ssl, sys
import subprocess, threading, time, zlib
import time as clock
from os import fsync as settle
from threading import Lock
from time import sleep

class Proxy:
    @property
    def __class__(self):
        raise RuntimeError("outside of a request")

request = Proxy()
table = sqlite3.connect(":memory:")
guard = threading.Lock()
work = queue.SimpleQueue()

class Shop:
    def __init__(self):
        self.db = sqlite3.connect(":memory:")
        self.lock = Lock()
        self.jobs = queue.SimpleQueue()
        self.names = {}
        self.line = socket.socket()

    async def serve(self, cursor, lock, file, line, other, path):
"""
CALLS = [
    # statement, the part of it that is in progress, conflict, what is named
    ("time.sleep(1)", "", "blocking-sleep", "time.sleep"),
    ("sleep(1)", "", "blocking-sleep", "time.sleep"),
    ("clock.sleep(1)", "", "blocking-sleep", "time.sleep"),
    ("os.fsync(file)", "", "blocking-file-io", "os.fsync"),
    ("settle(file)", "", "blocking-file-io", "os.fsync"),
    ("os.listdir(path)", "", "blocking-file-io", "os.listdir"),
    ("fcntl.flock(file, fcntl.LOCK_EX)", "", "blocking-file-io", "fcntl.flock"),
    ("text = open(path).read()", "open(path)", "blocking-file-io", "builtins.open"),
    ("text = open(path).read()", "", "blocking-file-io", "file.read"),
    ("open(path, 'wb').write(data)", "", "blocking-file-io", "file.write"),
    ("text = file.read()", "", "blocking-file-io", "file.read"),
    ("for row in file: pass", "file", None, ""),  # a cursor's rows come so, too
    ("self.db.execute('select 1')", "", "blocking-db", "sqlite3.Connection.execute"),
    ("table.commit()", "", "blocking-db", "sqlite3.Connection.commit"),
    ("rows = self.db.execute('x').fetchall()", "", "blocking-db", "sqlite3.Cursor.fetchall"),
    ("cursor.execute('select 1')", "", "blocking-db", "cursor.execute"),
    (
        "for row in self.db.execute('select 1'): pass",
        "self.db.execute('select 1')",
        "blocking-db",
        "sqlite3.Connection.execute",
    ),
    ("guard.acquire()", "", "blocking-sync-primitive", "threading.Lock.acquire"),
    ("self.lock.acquire(timeout=1)", "", "blocking-sync-primitive", "threading.Lock.acquire"),
    ("lock.acquire()", "", "blocking-sync-primitive", "lock.acquire"),
    ("with guard: pass", "guard", "blocking-sync-primitive", "threading.Lock.acquire"),
    ("with self.lock: pass", "self.lock", "blocking-sync-primitive", "threading.Lock.acquire"),
    ("with lock: pass", "lock", "blocking-sync-primitive", "lock"),
    ("work.get()", "", "blocking-sync-primitive", "queue.SimpleQueue.get"),
    ("self.jobs.get()", "", "blocking-sync-primitive", "queue.SimpleQueue.get"),
    ("self.names.get(1)", "", None, ""),
    ("self.line.recv(1)", "", "blocking-net", "socket.socket.recv"),
    ("data = line.recv(4096)", "", "blocking-net", "line.recv"),
    ("socket.gethostbyname('example.org')", "", "blocking-net", "socket.gethostbyname"),
    ("select.select([line], [], [])", "", "blocking-net", "select.select"),
    ("name = input('? ')", "", "blocking-input", "builtins.input"),
    ("name = sys.stdin.readline()", "", "blocking-file-io", "file.readline"),
    ("signal.sigtimedwait([1], 1)", "", "blocking-sync-primitive", "signal.sigtimedwait"),
    ("os.system('make')", "", "blocking-subprocess", "os.system"),
    ("os.waitpid(1, 0)", "", "blocking-subprocess", "os.waitpid"),
    ("hashlib.pbkdf2_hmac('sha256', b'', b'', 10**6)", "", "cpu-bound", "hashlib.pbkdf2_hmac"),
    (
        "found = json.loads(text := open(path).read())",
        "json.loads(text := open(path).read())",
        None,
        "",
    ),
    (
        "found = json.loads(open(path).read())",
        "open(path).read()",
        "blocking-file-io",
        "file.read",
    ),
    ("x = zlib.compress(other)", "", None, ""),
    ("x = re.match('(a+)+$', other)", "", None, ""),
    ("x = ', '.join(other)", "", None, ""),
    ("other.frobnicate()", "", None, ""),
    ("request.json()", "", None, ""),
    ("request()", "", None, ""),
]


@pytest.fixture
def program(tmp_path):
    """Import a module whose coroutine has one statement; return the frame and the span of a part of it."""
    names = []

    def write(statement, part=""):
        name = f"program_{len(names)}_{tmp_path.name}"
        path = tmp_path / f"{name}.py"
        path.write_text(f"{HEAD}        {statement}\n", "utf-8")
        linecache.checkcache(str(path))
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        names.append(name)
        tree = ast.parse(path.read_text("utf-8"))
        body = tree.body[-1].body[-1].body[0]
        calls = [one for one in ast.walk(body) if isinstance(one, ast.Call)]
        text = path.read_text("utf-8")
        if part:
            found = [one for one in ast.walk(body) if isinstance(one, ast.expr)]
            mine = next(one for one in found if ast.get_source_segment(text, one) == part)
        else:
            mine = calls[0] if calls else body
        frame = Frame(str(path), mine.lineno, "serve", statement, coroutine=True)
        return frame, (mine.lineno, mine.end_lineno, mine.col_offset, mine.end_col_offset)

    yield write
    for name in names:
        del sys.modules[name]


@pytest.mark.parametrize("case", CALLS, ids=lambda one: f"{one[0]}|{one[1]}")
def test_a_call_of_c_code_is_known_by_what_it_calls(program, case):
    statement, part, conflict, named = case
    frame, span = program(statement, part)
    found = detect(Evidence([frame], 0, computes=conflict == "cpu-bound", call=span))
    assert (found.kind if found else None) == conflict
    assert not named or found.name == named


@pytest.mark.parametrize("case", CALLS, ids=lambda one: f"{one[0]}|{one[1]}")
def test_without_the_place_of_the_call_the_line_tells_or_nothing(program, case):
    statement, _, conflict, _ = case
    frame, _ = program(statement)
    found = detect(Evidence([frame], 0))
    expected = "blocking-file-io" if "open(path)" in statement else conflict
    assert (found.kind if found else None) == expected


def test_a_function_is_known_that_was_replaced_when_it_was_looked_for(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", lambda _: None)
        index = CallIndex()
        index.grow()
    found = index.call("nowhere.py", "time.sleep()")
    assert (found.kind, found.name) == ("blocking-sleep", "time.sleep")
