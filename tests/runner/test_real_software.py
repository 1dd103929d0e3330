"""Servers, workers and tools of third parties, unmodified, under `loopclinic run`.

Each runs the same four blocks of known kind: found, with its own line and reason; exit status and output
as without us; nothing left behind.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import psutil
import pytest

from loopclinic.servers.server_process import free_port
from tests.runner.conftest import command, line_of

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals"),
    pytest.mark.alone(wakes=True),
    pytest.mark.timeout(180),
]

WORK = """
import asyncio, subprocess, time

BIG = (1 << 3_400_000) - 1

def sleep():
    time.sleep(0.3)  # sleep

def compute():
    end = time.perf_counter() + 0.3
    while time.perf_counter() < end:  # compute
        pass

def operate():
    return BIG * (BIG - 1)  # operate

def call():
    subprocess.run(["sleep", "0.3"], check=True)  # call

async def work():
    for block in (sleep, compute, operate, call):
        await asyncio.sleep(0.06)
        block()
    await asyncio.sleep(0.06)
    return "worked"
"""
REASONS = {
    "sleep": "blocking-sleep",
    "compute": "cpu-bound",
    "operate": "cpu-bound",
    "call": "blocking-subprocess",
}
ASGI = """
from work import work

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                print("shut down", flush=True)
                return
    text = (await work()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})
"""
DJANGO = """
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path
from work import work

settings.configure(SECRET_KEY="none", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])

async def view(request):
    return HttpResponse(await work())

urlpatterns = [path("", view)]
app = get_asgi_application()
"""
AIOHTTP = """
from aiohttp import web
from work import work

async def answer(request):
    return web.Response(text=await work())

def make(argv):
    app = web.Application()
    app.router.add_get("/", answer)
    return app
"""
CELERY = """
import asyncio, os, signal
from celery import Celery, signals
from work import work

app = Celery("program", broker="memory://", backend="cache+memory://")
app.conf.worker_hijack_root_logger = False

@app.task
def job():
    print(asyncio.run(work()), flush=True)

@signals.worker_ready.connect
def ready(**_):
    job.delay()

@signals.task_postrun.connect
def done(**_):
    pid = os.getppid() if os.environ["POOL"] == "prefork" else os.getpid()
    os.kill(pid, signal.SIGTERM)
"""
TRIO = """
import sys
from work import work
import anyio, asyncio, trio

async def main():
    await anyio.sleep(0.01)
    return await work()

trio.run(anyio.sleep, 0.01)
print(anyio.run(main))
"""
PROCESSES = """
import asyncio, multiprocessing, sys
from work import work

def child():
    print(asyncio.run(work()), flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process(target=child)
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""
CLIENT = """
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from work import work

async def answer(request):
    return PlainTextResponse(await work())

@pytest.fixture
def client():
    with TestClient(Starlette(routes=[Route("/", answer)])) as client:
        yield client

def test_it(client):
    assert client.get("/").text == "worked"
"""
KERNEL = """
from jupyter_client import KernelManager

manager = KernelManager(kernel_name="python3")
manager.start_kernel()
client = manager.blocking_client()
client.start_channels()
client.wait_for_ready(60)
client.execute_interactive("from work import work\\nprint(await work())", timeout=60)
client.stop_channels()
manager.shutdown_kernel()
"""
UVICORN = ["-m", "uvicorn", "program:app", "--port", "{port}"]
GUNICORN = [
    "-m",
    "gunicorn",
    "program:app",
    "-b",
    "127.0.0.1:{port}",
    "-k",
    "uvicorn.workers.UvicornWorker",
]
SERVERS = {
    "uvicorn": (ASGI, [*UVICORN, "--loop", "asyncio"]),
    "uvicorn on uvloop": (ASGI, [*UVICORN, "--loop", "uvloop"]),
    "uvicorn with workers": (ASGI, [*UVICORN, "--loop", "asyncio", "--workers", "2"]),
    "uvicorn reloading": (ASGI, [*UVICORN, "--loop", "asyncio", "--reload"]),
    "gunicorn": (ASGI, [*GUNICORN, "--workers", "2", "--graceful-timeout", "1"]),
    "hypercorn": (ASGI, ["-m", "hypercorn", "program:app", "-b", "127.0.0.1:{port}"]),
    "hypercorn with workers": (
        ASGI,
        ["-m", "hypercorn", "program:app", "-b", "127.0.0.1:{port}", "--workers", "2"],
    ),
    "aiohttp": (AIOHTTP, ["-m", "aiohttp.web", "-H", "127.0.0.1", "-P", "{port}", "program:make"]),
    "Django": (DJANGO, [*UVICORN, "--loop", "asyncio", "--lifespan", "off"]),
}
PROGRAMS = {
    **{
        f"multiprocessing, {method}": (PROCESSES, ["program.py", method])
        for method in ("fork", "spawn", "forkserver")
    },
    "trio and anyio": (TRIO, ["program.py"]),
    "Celery, solo": (
        CELERY,
        ["-m", "celery", "-A", "program", "worker", "--pool", "solo", "-l", "error"],
    ),
    "Celery, prefork": (
        CELERY,
        ["-m", "celery", "-A", "program", "worker", "--pool", "prefork", "-c", "1", "-l", "error"],
    ),
    "ipykernel": (KERNEL, ["program.py"]),
    "pytest with a client of a fixture": (
        CLIENT,
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "program.py"],
    ),
}
EVERY_TIME = {"gunicorn", "multiprocessing, spawn"}
"""In `make test`, too: they were what nobody watched."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "work.py").write_text(WORK, "utf-8")
    return tmp_path


@pytest.fixture
def start(folder, monkeypatch):
    """Start a program in the folder; what is left of it in the end is a failure."""
    for name in ("PYTHONWARNINGS", "PYTHONDEVMODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", "")
    running = []

    def begin(source, line, pool=""):
        (folder / "program.py").write_text(source, "utf-8")
        process = subprocess.Popen(
            line,
            cwd=folder,
            env=os.environ | {"POOL": pool, "PYTHONUNBUFFERED": "1", "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process.pid)
        return process

    yield begin
    left = [
        one
        for one in psutil.process_iter(["cmdline", "status"])
        if _session(one.pid) in running and one.info["status"] != psutil.STATUS_ZOMBIE
    ]
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    assert not left, f"left behind: {[one.info['cmdline'] for one in left]}"


def _session(pid):
    try:
        return os.getsid(pid)
    except OSError:
        return None


def of(name):
    marks = [] if name in EVERY_TIME else [pytest.mark.prove]
    return pytest.param(name, marks=marks)


def plain(line):
    return [sys.executable, *line]


def report_of(folder):
    return json.loads((folder / "report.json").read_text("utf-8"))


def ends(start, source, line, pool=""):
    process = start(source, line, pool)
    out, err = process.communicate(timeout=90)
    return SimpleNamespace(status=process.returncode, out=out, err=err)


def check(report, err):
    """Assert that each block is reported at its own line, with its own reason."""
    found = {
        (place["line"], place["conflict"])
        for place in report["places"]
        if "work.py" in place["where"]
    }
    wanted = {(line_of(WORK, f"# {name}"), reason) for name, reason in REASONS.items()}
    assert wanted <= found, (
        f"{wanted - found} not in {found}\n{report['places']}\n{report['loops']}\n{err}"
    )
    shared = {line for line, _ in wanted}
    assert {line for line, _ in found} <= shared, f"no other line is to blame\n{err}"
    # uvicorn's workers end by the signal that ended them, while their loop runs.
    assert [one for one in report["unwatched"] if "last tenth of a second" not in one] == []


@pytest.mark.parametrize("name", [of(name) for name in PROGRAMS])
def test_programs(start, folder, name):
    source, line = PROGRAMS[name]
    pool = name.partition(", ")[2]
    alone = ends(start, source, plain(line), pool)
    done = ends(start, source, command("--quiet", "--json", folder / "report.json", *line), pool)
    assert done.status == alone.status, done.err
    assert neutral(done.out) == neutral(alone.out)
    check(report_of(folder), done.err)


@pytest.mark.parametrize("name", [of(name) for name in SERVERS])
def test_servers(start, folder, name):
    source, line = SERVERS[name]
    endings = []
    for begin in (plain, lambda line: command("--quiet", "--json", folder / "report.json", *line)):
        port = free_port()
        process = start(source, begin([one.format(port=port) for one in line]))
        try:
            assert asked(port, process) == "worked"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                print(process.communicate())
        # A worker that had not begun to serve when the signal came does not shut down.
        endings.append((process.returncode, set(neutral(out).splitlines())))
    assert endings[1] == endings[0], err
    check(report_of(folder), err)


def asked(port, process):
    end = time.monotonic() + 40
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as response:
                return response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "it never answered"
            time.sleep(0.1)


def neutral(text):
    return re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?", "n", text)
