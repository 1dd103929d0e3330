"""Programs that stall for a known reason: the report must name that reason, and its line."""

import asyncio
import gc
import http.server
import importlib.util
import linecache
import sys
import threading
import time

import pytest

from loopclinic.probe import Probe

pytestmark = pytest.mark.alone(wakes=True)

HEAD = """
import asyncio, concurrent.futures, contextlib, copy, csv, gc, hashlib, importlib, io, json, logging, os
import logging.handlers, pathlib, queue, re, shutil, socket, sqlite3, ssl, subprocess, sys, tempfile
import threading, time, zipfile, zlib
import psutil, requests

def later(call, *arguments):
    threading.Timer(0.15, call, arguments).start()

class Held:
    def __init__(self):
        self.lock = threading.Lock()

    async def pay(self):
        with self.lock:  # of a lock
            await asyncio.sleep(0.1)

    async def count(self):
        self.lock.acquire()  # an acquire
        later(self.lock.release)
        return self

class Slow(logging.Handler):
    def emit(self, record):
        time.sleep(0.15)  # of a handler

class Slowly:
    @property
    def total(self):
        return sum(n * n for n in range(3_000_000))  # of a property

    def __del__(self):
        time.sleep(0.15)  # of a destructor

    def __iter__(self):
        time.sleep(0.15)  # of a generator
        yield 1

    def __str__(self):
        time.sleep(0.15)  # of a string
        return "slow"

def archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("noise", os.urandom(1 << 23) * 12, zipfile.ZIP_DEFLATED, 1)
    return zipfile.ZipFile(file)

class Account:
    def __init__(self, port):
        self.line = socket.create_connection(("127.0.0.1", port))
        self.line.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        self.line.recv(1)  # of a constructor
        self.line.close()

DEEP = "with recursive n(x) as (select 1 union all select x + 1 from n where x < 600000) select max(x) from n"
SLOWLY = Slowly()

"""
LARGE = {
    "BIG": 'json.dumps([{"name": str(n), "values": [n] * 8} for n in range(120000)])',
    "NOISE": "os.urandom(1 << 23)",
    "TREE": '[[n, {"n": [n]}] for n in range(30_000)]',
    "TABLE": "['a,b,c,d\\n'] * 400_000",
}
"""What takes a moment to make, for the programs that name it."""
PROGRAMS = {
    # the body of `async def main(port, folder)`, the conflict, a part of the sentence
    "sleep": ("time.sleep(0.15)", "blocking-sleep", "A blocking sleep (time.sleep)"),
    "sleep in a library": (
        "psutil.cpu_percent(interval=0.15)",
        "blocking-sleep",
        "over an interval (psutil)",
    ),
    "sleep in a log handler": (
        "log = logging.getLogger('slow'); log.addHandler(Slow())\nlog.error('x')",
        "blocking-sleep",
        "A blocking sleep (time.sleep)",
    ),
    "a constructor that connects": ("Account(port)", "blocking-net", "socket.socket.recv"),
    "requests": ("requests.get(f'http://127.0.0.1:{port}')", "blocking-http", "(requests.get)"),
    "urllib": (
        "import urllib.request\nurllib.request.urlopen(f'http://127.0.0.1:{port}')",
        "blocking-http",
        "(urllib.request.urlopen)",
    ),
    "subprocess.run": (
        "subprocess.run(['sleep', '0.15'])",
        "blocking-subprocess",
        "(subprocess.run)",
    ),
    "os.system": ("os.system('sleep 0.15')", "blocking-subprocess", "(os.system)"),
    "popen.wait": (
        "subprocess.Popen(['sleep', '0.15']).wait()",
        "blocking-subprocess",
        "(subprocess.Popen.wait)",
    ),
    "sqlite execute": (
        "db = sqlite3.connect(':memory:')\ndb.execute(DEEP).fetchone()",
        "blocking-db",
        "A synchronous database call (sqlite3.C",
    ),
    "lock.acquire": (
        "lock = threading.Lock(); lock.acquire(); later(lock.release)\nlock.acquire()",
        "blocking-sync-primitive",
        "(threading.Lock.acquire)",
    ),
    "with lock": (
        "lock = threading.Lock(); lock.acquire(); later(lock.release)\nwith lock: pass",
        "blocking-sync-primitive",
        "(threading.Lock.acquire)",
    ),
    "a lock over an await": (
        "held = Held(); held.lock.acquire(); later(held.lock.release)\nawait held.pay()",
        "thread-lock-in-async",
        "a threading lock that is held across an await",
    ),
    "queue.get": (
        "work = queue.Queue(); later(work.put, 1)\nwork.get()",
        "blocking-sync-primitive",
        "(queue.Queue.get)",
    ),
    "simple queue": (
        "work = queue.SimpleQueue(); later(work.put, 1)\nwork.get()",
        "blocking-sync-primitive",
        "(queue.SimpleQueue.get)",
    ),
    "future.result": (
        "pool = concurrent.futures.ThreadPoolExecutor(1)\npool.submit(time.sleep, 0.15).result()",
        "blocking-sync-primitive",
        "(concurrent.futures.Future.result)",
    ),
    "event.wait": (
        "threading.Event().wait(0.15)",
        "blocking-sync-primitive",
        "(threading.Event.wait)",
    ),
    "thread.join": (
        "thread = threading.Thread(target=time.sleep, args=(0.15,)); thread.start()\nthread.join()",
        "blocking-sync-primitive",
        "(threading.Thread.join)",
    ),
    "a pipe": (
        "read, write = os.pipe(); later(os.write, write, b'x')\nos.read(read, 1); os.close(read); os.close(write)",
        "blocking-file-io",
        "(os.read)",
    ),
    "sqlite that waits for another": (
        """db, other = (sqlite3.connect(folder / "x", timeout=0.15, isolation_level=None) for _ in "ab")
db.execute("create table t (x)"); other.execute("begin immediate")
with contextlib.suppress(sqlite3.OperationalError): db.execute("insert into t values (1)")""",
        "blocking-db",
        "(db.execute)",
    ),
    "a file object": (
        "read, write = os.pipe(); later(os.write, write, b'x\\n')\nopen(read, closefd=False).readline(); os.close(read); os.close(write)",
        "blocking-file-io",
        "file.readline",
    ),
    "standard input": (
        "read, write = os.pipe(); later(os.write, write, b'x\\n'); sys.stdin = open(read)\ninput(); sys.stdin.close(); os.close(write)",
        "blocking-input",
        "input",
    ),
    "an import": ("import slow_settings", "blocking-file-io", "An import held the loop"),
    "import_module": (
        "importlib.import_module('slow_settings')",
        "blocking-file-io",
        "An import held the loop",
    ),
    "json": ("json.loads(BIG)", "cpu-bound", "Computation"),
    "re": ("re.match(r'(a+)+$', 'a' * 23 + 'b')", "cpu-bound", "Computation"),
    "zlib": ("zlib.compress(NOISE)", "cpu-bound", "Computation"),
    "hashlib": (
        "hashlib.pbkdf2_hmac('sha256', b'secret', b'salt', 400_000)",
        "cpu-bound",
        "Computation (hashlib.pbkdf2_hmac)",
    ),
    "a property": ("SLOWLY.total", "cpu-bound", "Computation"),
    "a destructor": ("Slowly()", "blocking-sleep", "(time.sleep)"),
    "a generator": ("list(SLOWLY)", "blocking-sleep", "(time.sleep)"),
    "an argument of a log line": (
        "logging.getLogger().error('%s', SLOWLY)",
        "blocking-sleep",
        "(time.sleep)",
    ),
    "a member of an archive": (
        "packed = await asyncio.to_thread(archive)\npacked.read('noise')",
        "blocking-file-io",
        "(zipfile.ZipFile.read)",
    ),
    "a TLS context each": (
        "[ssl.create_default_context() for _ in range(20)]",
        "blocking-file-io",
        "Making a TLS context",
    ),
    "many rows of sqlite": (
        """db = sqlite3.connect(":memory:"); db.execute("create table t (n)")
db.executemany("insert into t values (?)", ((n,) for n in range(400_000)))""",
        "blocking-db",
        "(sqlite3.Connection.executemany)",
    ),
    "deepcopy": ("copy.deepcopy(TREE)", "cpu-bound", "Computation"),
    "csv": ("list(csv.reader(TABLE))", "cpu-bound", "Computation"),
    "a child process that is waited for": (
        "subprocess.Popen(['sleep', '0.15']).wait()",
        "blocking-subprocess",
        "(subprocess.Popen.wait)",
    ),
    "the result of a pool": (
        """with concurrent.futures.ThreadPoolExecutor() as pool:
    pool.submit(time.sleep, 0.15).result()""",
        "blocking-sync-primitive",
        "(concurrent.futures.Future.result)",
    ),
    "a loop of Python": ("sum(n * n for n in range(3_000_000))", "cpu-bound", "Computation"),
}
GARBAGE = {
    "gc.collect": ("gc.collect()", "called for by gc.collect"),
    "an automatic one": (
        "found = [[] for _ in range(2000)]",
        "set off by what this line allocates",
    ),
}
EVERY_TIME = {"sleep", "sqlite execute", "subprocess.run", "an import", "re", "a loop of Python"}
"""In `make test`, too. tests/probe/test_blocking_frames.py holds every call without a real stall."""
SETTINGS = (
    "import time\nend = time.perf_counter() + 0.15\nwhile time.perf_counter() < end:\n    pass\n"
)
MARKS = {
    "sleep in a log handler": "# of a handler",
    "a constructor that connects": "# of a constructor",
    "a lock over an await": "# of a lock",
    "a property": "# of a property",
    "a destructor": "# of a destructor",
    "a generator": "# of a generator",
    "an argument of a log line": "# of a string",
}


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.15)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def port():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    # A thread that wakes by itself may have the GIL next, before the probe: then no line is seen.
    threading.Thread(target=server.serve_forever, args=(3600,), daemon=True).start()
    yield server.server_port
    server.server_close()


@pytest.fixture
def stalled(tmp_path, monkeypatch, port):
    """Run the body of a coroutine under a probe; return its longest stall and the number of its last line."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    (tmp_path / "slow_settings.py").write_text(SETTINGS)
    sys.modules.pop("slow_settings", None)

    def run(body, mark=""):
        lines = [f"    {line}" for line in body.splitlines()]
        made = [f"{name} = {code}" for name, code in LARGE.items() if name in body]
        source = HEAD + "\n".join(
            [*made, "async def main(port, folder):", "    await asyncio.sleep(0.05)", *lines]
        )
        path = tmp_path / "program.py"
        path.write_text(f"{source}\n    await asyncio.sleep(0.02)\n")
        linecache.checkcache()
        spec = importlib.util.spec_from_file_location("program", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "program", module)
        spec.loader.exec_module(module)

        async def watched():
            with Probe(threshold=0.05) as probe:
                await module.main(port, tmp_path)
            return probe.report()

        report = asyncio.run(watched())
        number = next(
            (n for n, one in enumerate(source.splitlines(), 1) if mark and mark in one), 0
        )
        return max(report.stalls, key=lambda one: one.seconds), number or len(source.splitlines())

    return run


def of(name):
    return pytest.param(name, marks=[] if name in EVERY_TIME else [pytest.mark.prove])


@pytest.mark.parametrize("name", [of(name) for name in PROGRAMS])
def test_a_stall_is_told_as_what_it_is(stalled, name):
    body, conflict, words = PROGRAMS[name]
    stall, line = stalled(body, MARKS.get(name, ""))
    assert stall.line == line, stall
    assert (stall.conflict, words in (stall.diagnosis or "")) == (conflict, True), stall.diagnosis


@pytest.mark.parametrize("name", GARBAGE)
def test_a_collection_is_told_with_who_caused_it(stalled, name):
    code, words = GARBAGE[name]
    # So many objects that to look through them takes long; the automatic one is set to come in the line.
    before = gc.get_threshold()
    gc.disable()
    kept = [[[]] for _ in range(1_500_000)]
    body = f"""await asyncio.sleep(0.02)
if {code.startswith("found")}: gc.set_threshold(1000, 0, 0); gc.enable()
{code}"""
    try:
        stall, line = stalled(body)
    finally:
        gc.set_threshold(*before)
        gc.enable()
    assert kept
    assert stall.garbage > stall.seconds / 2
    assert stall.line == line
    asked = name == "gc.collect"
    assert stall.conflict == ("cpu-bound" if asked else None)
    assert words in stall.diagnosis
    assert stall.automatic_garbage == (0 if asked else stall.garbage)
