"""The queue for checks of a room: who has a turn, and what a check does with the queue's answers."""

import asyncio
import importlib.util
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tornado.httpserver import HTTPServer

from loopclinic.checks import checking
from loopclinic.checks.check_queue import VARIABLE, turn
from loopclinic.verdict import Verdict

SERVICE = Path(__file__).parents[2] / "deploy" / "jupyterhub" / "check_queue.py"


@pytest.fixture(scope="module")
def service():
    spec = importlib.util.spec_from_file_location("room_check_queue", SERVICE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Who has a turn.


@pytest.fixture
def turns(service):
    return service.Turns(at_once=2)


def test_turns_go_in_the_order_of_asking(turns):
    ann, bob, cem, dan = map(turns.ask, ("ann", "bob", "cem", "dan"))
    assert [one.running for one in (ann, bob, cem, dan)] == [True, True, False, False]
    assert [turns.ahead(one) for one in (cem, dan)] == [0, 1]
    turns.end(bob)
    assert cem.running
    assert cem.changed.is_set()
    assert not dan.running
    assert turns.ahead(dan) == 0
    turns.end(ann)
    assert dan.running
    assert turns.running == 2


def test_no_learner_has_two_turns_and_others_pass_them(turns):
    first, second, other = turns.ask("ann"), turns.ask("ann"), turns.ask("bob")
    assert (first.running, second.running, other.running) == (True, False, True)
    turns.end(other)
    assert not second.running
    turns.end(first)
    assert second.running


def test_a_learner_has_so_many_checks_here_and_no_more(turns, service):
    held = [turns.ask("ann") for _ in range(service.PER_LEARNER)]
    assert None not in held
    assert turns.ask("ann") is None
    assert turns.ask("bob").running
    turns.end(held[-1])
    assert turns.ask("ann") is not None


def test_a_check_that_gives_up_waiting_leaves_no_turn_taken(turns):
    for name in ("ann", "bob"):
        turns.ask(name)
    gone, last = turns.ask("cem"), turns.ask("dan")
    turns.end(gone)
    assert turns.ahead(last) == 0
    assert turns.running == 2


# The service and a check, over HTTP.


@pytest.fixture
def room(service, monkeypatch):
    """A queue with one turn, on a thread of its own; tokens are learners' names, and `nobody` is refused.

    Given is a function that calls one of its methods on that thread.
    """
    turns, started = service.Turns(at_once=1), threading.Event()

    async def learner_of(handler):
        name = handler.request.headers.get("Authorization", "").removeprefix("token ")
        return name if name != "nobody" else None

    async def serve():
        nonlocal loop, end
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        app = service.application(turns, learner_of, "/services/checks/")
        server = HTTPServer(app, **service.LIMITS)
        server.add_socket(listening)
        started.set()
        await end.wait()
        server.stop()
        await server.close_all_connections()

    loop = end = None
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        monkeypatch.setenv(
            VARIABLE, f"http://127.0.0.1:{listening.getsockname()[1]}/services/checks/"
        )
        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        assert started.wait(10)

        def on_loop(method, *words):
            async def call():
                return getattr(turns, method)(*words)

            return asyncio.run_coroutine_threadsafe(call(), loop).result(10)

        on_loop.turns = turns
        yield on_loop
        loop.call_soon_threadsafe(end.set)
        thread.join(10)


def until(true):
    ends = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_check_shows_its_place_and_gets_its_turn_when_the_one_before_ends(room, monkeypatch):
    said, steps, order = [], [], []

    def check(name, on_step=None):
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", name)
        return turn(said.append, on_step, None)

    with check("ann") as refused:
        assert refused == ""
        bob = room("ask", "bob")  # waits, so that the next one has somebody before it

        def later():
            with check("cem", steps.append) as why:
                order.append(why or "cem's turn")

        thread = threading.Thread(target=later)
        thread.start()
        until(lambda: steps)
        order.append("ann ends")
    until(lambda: bob.running)
    room("end", bob)
    thread.join(10)
    assert order == ["ann ends", "cem's turn"]
    assert steps[0] == "1 check before it in the room's queue"
    until(lambda: room.turns.requests == [])
    assert said == []


def test_a_check_that_is_stopped_while_it_waits_does_not_run(room, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "ann")
    with turn(pytest.fail, None, None) as first:
        assert first == ""
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "bob")
        with turn(pytest.fail, None, lambda: True) as refused:
            assert "was stopped before its turn" in refused
    until(lambda: room.turns.requests == [])


def test_a_learner_with_too_many_checks_is_refused_one_more(room, service, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "ann")
    for _ in range(service.PER_LEARNER):
        room("ask", "ann")
    with turn(pytest.fail, None, None) as refused:
        assert "already" in refused


def test_a_turn_ends_by_itself(room, service, monkeypatch):
    monkeypatch.setattr(service, "LONGEST", 0.05)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "ann")
    with turn(pytest.fail, None, None) as refused:
        assert refused == ""
        until(lambda: room.turns.requests == [])


@pytest.fixture
def hasty(service, monkeypatch):
    """A queue that waits for the head of a request for a moment only."""
    monkeypatch.setitem(service.LIMITS, "idle_connection_timeout", 0.01)


_POST = b"POST /services/checks/ HTTP/1.1\r\nHost: x\r\nAuthorization: token ann\r\n"


@pytest.mark.usefixtures("hasty", "room")
@pytest.mark.parametrize(
    "sent", [b"", _POST, _POST + b"Content-Length: 1001\r\n\r\n", _POST + b"X: " + b"x" * 70_000]
)
def test_a_request_that_does_not_come_or_is_too_large_is_cut_off(sent):
    where = urlsplit(os.environ[VARIABLE])
    # The errors: it was closed before all was read.
    with (
        socket.create_connection((where.hostname, where.port), timeout=10) as one,
        suppress(ConnectionResetError, BrokenPipeError),
    ):
        one.sendall(sent)
        with one.makefile("rb") as answer:  # TimeoutError if the connection stays
            assert b"turn" not in answer.read()


# Without a queue a check runs at once, and says so on a hub.


@pytest.fixture
def said(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("JUPYTERHUB_USER", raising=False)
    return []


def test_outside_of_a_hub_nothing_is_said(said):
    with turn(said.append, None, None) as refused:
        assert refused == ""
    assert said == []


def test_on_a_hub_without_a_queue_it_says_so(said, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    with turn(said.append, None, None) as refused:
        assert refused == ""
    assert len(said) == 1
    assert "no queue for checks. This check runs at once" in said[0]


@pytest.mark.usefixtures("room")
def test_with_a_token_that_is_refused_it_says_so(monkeypatch):
    said = []
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "nobody")
    with turn(said.append, None, None) as refused:
        assert refused == ""
    assert "403" in said[0]


class Wrong(BaseHTTPRequestHandler):
    """Answers 200 with what the test wants, and closes the connection."""

    body = b""

    def do_POST(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]\n", b'{"ahead": null}\n', b'{"behind": 1}\n', b'{"ahead": 1}\n']
)
def test_with_an_answer_of_another_service_it_says_so(said, monkeypatch, body):
    monkeypatch.setattr(Wrong, "body", body)
    with ThreadingHTTPServer(("127.0.0.1", 0), Wrong) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{server.server_port}/")
        with turn(said.append, lambda _: None, None) as refused:
            assert refused == ""
        server.shutdown()
        thread.join()
    assert len(said) == 1
    assert "does not answer" in said[0]


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://127.0.0.1/x", "http://", "http://127.0.0.1:1/"]
)
def test_with_an_address_that_leads_nowhere_it_says_so(said, monkeypatch, url):
    monkeypatch.setenv(VARIABLE, url)
    with turn(said.append, None, None) as refused:
        assert refused == ""
    assert url in said[0]


# Where a check begins.


def checked(monkeypatch, refused):
    """Check a lesson's lab with such an answer of the queue; return the verdict and what happened in order."""
    order = []

    @contextmanager
    def queued(_say, on_step, stop):
        order.append("waits")
        assert (on_step, stop) == ("step", "stop")
        yield refused
        order.append("ends")

    def run(one, **_given):
        order.append("runs")
        return Verdict(one.name, "passed", ())

    monkeypatch.setattr(checking.check_queue, "turn", queued)
    monkeypatch.setattr(checking, "check_lesson", run)
    verdict = checking.check("01", solution=True, on_step="step", stop="stop", say=lambda _: None)
    return verdict, order


def test_a_check_runs_and_its_time_begins_when_it_has_its_turn(monkeypatch):
    verdict, order = checked(monkeypatch, "")
    assert (verdict.status, order) == ("passed", ["waits", "runs", "ends"])


def test_a_check_that_is_refused_does_not_run_and_says_why(monkeypatch):
    verdict, order = checked(monkeypatch, "It was too much.")
    assert (verdict.status, order) == ("could-not-run", ["waits", "ends"])
    assert verdict.reasons[0].sentence == "It was too much."
