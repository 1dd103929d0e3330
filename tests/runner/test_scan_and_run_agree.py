"""One bug has one name: what the scanner finds in a program, a probe finds when it runs."""

import asyncio
import importlib.util
import linecache
import sys

import pytest

from loopclinic.probe import Probe
from loopclinic.scanner.options import Settings
from loopclinic.scanner.scanning import scan_path

HEAD = """
import asyncio, concurrent.futures, contextlib, importlib, os, queue, socket, sqlite3, ssl, subprocess
import sys, tempfile, threading, time, urllib.request
from pathlib import Path

def later(call, *arguments):
    threading.Timer(0.2, call, arguments).start()
"""
PROGRAMS = {
    "the processors are measured over an interval": """
import psutil

async def load():
    return psutil.cpu_percent(interval=0.2)

async def main(folder):
    psutil.cpu_percent()
    await load()
""",
    "a plugin is imported by its name": """
async def setup(name):
    return importlib.import_module(f"slow_{name}")

async def main(folder):
    await setup("plugin")
""",
    "a question is asked of the loop's own coroutine": """
class Survey:
    def ask(self, question):
        async def answer():
            return question
        future = asyncio.run_coroutine_threadsafe(answer(), self.loop)
        with contextlib.suppress(TimeoutError, concurrent.futures.TimeoutError):
            return future.result(timeout=0.2)

    async def first(self):
        self.loop = asyncio.get_running_loop()
        return self.ask("name")

async def main(folder):
    await Survey().first()
    await asyncio.sleep(0.01)
""",
    "a store asks sqlite": """
class Store:
    def __init__(self, path):
        self._db = sqlite3.connect(path, timeout=0.2, isolation_level=None)

    def orders(self):
        with contextlib.suppress(sqlite3.OperationalError):
            return self._db.execute("insert into orders values (1)")

class Bot:
    def __init__(self, path):
        self.store = Store(path)

    async def on_message(self, text):
        return self.store.orders()

async def main(folder):
    with contextlib.closing(sqlite3.connect(folder / "x", isolation_level=None)) as other:
        other.execute("create table orders (x)")
        other.execute("begin immediate")
        bot = Bot(folder / "x")
        await bot.on_message("hi")
        bot.store._db.close()
""",
    "a callback closes a port": """
class Port:
    def close(self):
        time.sleep(0.2)

class Transport:
    def __init__(self, loop, port: Port):
        self.loop, self.port = loop, port

    def close(self):
        self.port.close()

async def main(folder):
    transport = Transport(asyncio.get_running_loop(), Port())
    transport.close()
""",
    "a retry sleeps": """
def fetch():
    for attempt in range(2):
        try:
            raise ConnectionError
        except ConnectionError:
            time.sleep(0.1 * (attempt + 1))

async def main(folder):
    fetch()
""",
    "a lock is held across an await": """
class Purse:
    def __init__(self):
        self.lock = threading.Lock()

    async def pay(self):
        with self.lock:
            await asyncio.sleep(0)

async def main(folder):
    purse = Purse()
    purse.lock.acquire()
    later(purse.lock.release)
    await purse.pay()
""",
    "a queue is read": """
work = queue.Queue()

async def main(folder):
    later(work.put, 1)
    work.get()
""",
    "a child is run": """
def convert():
    subprocess.run([sys.executable, "-S", "-c", "import time; time.sleep(0.2)"], check=True)

async def main(folder):
    convert()
""",
    "a line is read from a pipe": """
async def main(folder):
    os.mkfifo(folder / "line")
    later(Path.write_text, folder / "line", "x")
    Path(folder / "line").read_text()
""",
    "a socket is read": """
def exchange(line):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        later(theirs.send, b"x")
        ours.recv(1)
        time.sleep(0)

async def main(folder):
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.socket()
        client.connect(server.getsockname())
        client.settimeout(0.2)
        with client, contextlib.suppress(TimeoutError):
            client.recv(1)
""",
    "a page is fetched": """
def fetch(port):
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=0.2)

async def main(folder):
    with socket.create_server(("127.0.0.1", 0)) as server:
        fetch(server.getsockname()[1])
""",
    "a future of a pool is waited for": """
async def main(folder):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(time.sleep, 0.2).result()
""",
}


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Scan a program and run it: the kinds that each finds by line, those of its longest stall alone."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slow_plugin.py").write_text(
        "import time\nend = time.perf_counter() + 0.2\nwhile time.perf_counter() < end: pass\n"
    )
    sys.modules.pop("slow_plugin", None)

    def judge(source):
        path = tmp_path / "program.py"
        path.write_text(HEAD + source)
        linecache.checkcache()
        spec = importlib.util.spec_from_file_location("program", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "program", module)
        spec.loader.exec_module(module)

        async def watched():
            with Probe(threshold=0.05) as probe:
                await asyncio.sleep(0.02)
                await module.main(tmp_path)
                await asyncio.sleep(0.02)
            return probe.report()

        stall = max(asyncio.run(watched()).stalls, key=lambda one: one.seconds)
        scanned = {
            (link.line, finding.kind)
            for finding in scan_path(path, Settings()).findings
            for link in (finding, *finding.chain)
        }
        return stall, scanned

    return judge


@pytest.mark.alone
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_stall_has_the_name_that_the_scanner_gives_it(found, name):
    stall, scanned = found(PROGRAMS[name])
    assert stall.conflict is not None
    assert (stall.line, stall.conflict) in scanned, stall.diagnosis
