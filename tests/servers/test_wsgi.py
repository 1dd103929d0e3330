"""Flask behind waitress in a child process: start, requests, graceful shutdown, kill."""

import asyncio
import os
import socket
import threading
import time
import urllib.error
import urllib.request

import psutil
import pytest

from loopclinic.servers.wsgi import ServerError, WsgiServer
from tests.threads import threads_left, threads_now

posix = pytest.mark.skipif(os.name != "posix", reason="SIGTERM")

APP = """
import threading, time
from flask import Flask

class Service:
    def __init__(self, word="hello", closes=0.0):
        self.closes, self.closed = closes, False
        self.app = Flask(__name__)
        self.app.add_url_rule("/", view_func=lambda: word)
        self.app.add_url_rule("/slow", view_func=self.slow)

    def slow(self):
        time.sleep(0.6)
        return f"closed meanwhile: {self.closed}"

    def state(self):
        return {"closed_it": self.closed}

    def close(self):
        self.closed = True
        time.sleep(self.closes)

def plain():
    return Service().app

def hurt():
    raise LookupError("no such tenant")

def nothing():
    return 7
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "service.py"
    path.write_text(APP)
    return path


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def in_thread(url: str) -> tuple[threading.Thread, list[str]]:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(get(url)))
    thread.start()
    return thread, found


def test_serves_an_application_and_leaves_nothing(file):
    threads = threads_now()
    with WsgiServer(f"{file}:Service", {"word": "good morning"}) as server:
        assert get(server.url) == "good morning"
        pid, port = server.pid, int(server.url.rpartition(":")[2])
        assert server.state()["phase"] == "serving"
        assert server.state()["closed_it"] is False
    assert not psutil.pid_exists(pid)
    assert threads_left(threads) == []
    with socket.socket() as knock:
        assert knock.connect_ex(("127.0.0.1", port)) != 0


async def test_a_callable_travels_by_value_and_the_loop_stays_free():
    def target(word):
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [word.encode()]

        return app

    async with WsgiServer(target, {"word": "by value"}) as server:
        assert await asyncio.to_thread(get, server.url) == "by value"
        # The client may have its answer before it is counted as sent.
        async with asyncio.timeout(5):
            while (await server.state_async())["under_way"]:
                await asyncio.sleep(0.01)


def test_what_holds_a_lock_cannot_travel():
    lock = threading.Lock()

    def target():
        return lock

    with pytest.raises(ServerError, match="make loops, sockets and locks inside of it"):
        WsgiServer(target)


@posix
def test_at_sigterm_it_closes_while_requests_are_answered_and_then_ends(file):
    with WsgiServer(f"{file}:Service") as server:
        thread, found = in_thread(f"{server.url}/slow")
        while not server.state()["under_way"]:
            time.sleep(0.01)
        server.terminate()
        thread.join()
        assert found == ["closed meanwhile: True"]
        assert asyncio.run(server.ended(3))


@posix
def test_after_sigterm_nobody_new_is_let_in(file):
    with WsgiServer(f"{file}:Service", {"closes": 0.5}) as server:
        server.terminate()
        while server.state()["phase"] == "serving":
            time.sleep(0.01)
        time.sleep(0.1)
        with pytest.raises(urllib.error.URLError):
            get(server.url)


@posix
def test_a_close_that_hangs_is_not_waited_for_longer_than_the_grace(file):
    with WsgiServer(f"{file}:Service", {"closes": 60}, grace=0.3, linger=5) as server:
        server.terminate()
        ends = time.monotonic() + 5
        while (state := server.state())["phase"] != "closed" and time.monotonic() < ends:
            time.sleep(0.02)
        assert (state["phase"], state["late"]) == ("closed", True)


@posix
def test_sigterm_does_not_wait_for_a_daemon_thread():
    def target():
        from flask import Flask

        threading.Thread(target=time.sleep, args=[60], daemon=True).start()
        return Flask("it")

    with WsgiServer(target) as server:
        assert server.state()["threads"] == 1
        server.terminate()
        assert asyncio.run(server.ended(3))
        server.terminate()  # twice does no harm


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("{file}:hurt", "LookupError: no such tenant"),
        ("{file}:nothing", "returned int, which is no WSGI application"),
        ("{file}:missing", "defines no 'missing'"),
        ("{file}x.py:plain", "there is no file"),
        ("nonsense", "write it as 'FILE.py:name'"),
    ],
)
def test_what_cannot_be_served_says_why(file, target, said):
    with pytest.raises(ServerError, match=said):
        WsgiServer(target.format(file=file)).start()


def test_a_port_that_is_taken_is_named_with_its_repair(file):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port} .* give no port"):
            WsgiServer(f"{file}:plain", port=port).start()


def test_killed_in_the_middle_the_next_question_says_so(file):
    with WsgiServer(f"{file}:Service") as server:
        psutil.Process(server.pid).kill()
        with pytest.raises(ServerError, match="killed by signal 9"):
            server.state()
        assert server.gone()


def test_it_ends_with_whoever_started_it(file):
    import subprocess
    import sys

    source = (
        "from loopclinic.servers.wsgi import WsgiServer; import os\n"
        f"print(WsgiServer({str(file)!r} + ':Service').start().pid, flush=True); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    pid, ends = int(done.stdout), time.monotonic() + 5
    while psutil.pid_exists(pid) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)
