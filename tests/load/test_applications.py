"""Kinds of targets under load: handlers, and ASGI, WSGI and aiohttp applications."""

import asyncio
import json
import sys
import threading
import time

import pytest
from aiohttp import ClientSession, web

from loopclinic.import_path import LoadError
from loopclinic.load.own_loop import drive
from loopclinic.load.request_schedule import Load
from loopclinic.load.serve import LocalServer
from loopclinic.load.variant import Variant, form_of

FEW = Load(rate=40, seconds=0.25, arrivals="uniform")


async def asgi_app(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["greeting"] = "hello"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})
        return
    message = await receive()
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "kind": dict(scope["headers"]).get(b"content-type", b"").decode(),
        "body": message["body"].decode(),
        "greeting": scope["state"]["greeting"],
    }
    headers = [(b"content-type", b"application/json"), (b"x-own", b"1")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    text = json.dumps(seen).encode()
    await send({"type": "http.response.body", "body": text[:5], "more_body": True})
    await send({"type": "http.response.body", "body": text[5:]})


def wsgi_app(environ, start_response):
    seen = {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "kind": environ["CONTENT_TYPE"],
        "body": environ["wsgi.input"].read().decode(),
        "thread": threading.current_thread().name,
    }
    start_response("201 Created", [("Content-Type", "application/json"), ("X-Own", "1")])
    return [json.dumps(seen).encode()]


def aiohttp_app():
    async def answer(request):
        seen = {
            "method": request.method,
            "path": request.path,
            "query": request.query_string,
            "kind": request.content_type,
            "body": await request.text(),
        }
        return web.json_response(seen, status=201, headers={"X-Own": "1"})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    return app


@pytest.mark.parametrize(
    ("target", "served"),
    [
        (asgi_app, "ASGI application"),
        (lambda: asgi_app, "ASGI application"),
        (wsgi_app, "WSGI application on 8 threads"),
        (aiohttp_app, "aiohttp application"),
    ],
    ids=["asgi", "factory", "wsgi", "aiohttp"],
)
async def test_an_application_sees_the_whole_request_and_its_whole_answer_arrives(target, served):
    async with LocalServer(Variant(target, name="app")) as server, ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/or%20ders?limit=3"
        async with session.post(url, json={"n": 1}) as answer:
            seen = await answer.json()
            assert (answer.status, answer.headers["X-Own"]) == (201, "1")
    assert server.form == served
    assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/or ders", "limit=3")
    assert (seen["kind"], json.loads(seen["body"])) == ("application/json", {"n": 1})
    assert seen.get("greeting", "hello") == "hello"
    assert seen.get("thread", "wsgi").startswith("wsgi")


@pytest.mark.parametrize("target", [asgi_app, wsgi_app, aiohttp_app])
async def test_an_application_is_put_under_load(target):
    vitals = await drive(target, FEW)
    assert (vitals.answered, vitals.errors) == (10, {})


async def test_wsgi_requests_wait_for_a_thread_and_not_for_the_loop():
    at_once, most, lock = 0, 0, threading.Lock()
    # Every thread that there is waits for the others, and all for six looks of the gauge.
    turn = threading.Barrier(8, lambda: time.sleep(0.3), timeout=10)

    def slow(environ, start_response):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        turn.wait()
        with lock:
            at_once -= 1
        start_response("204 No Content", [])
        return []

    vitals = await drive(slow, Load(jobs=16))
    assert (vitals.answered, vitals.errors) == (16, {})
    assert most == 8
    assert 8 <= vitals.threads <= 10


async def test_what_an_asgi_application_does_after_its_answer_holds_nobody_up():
    done, answered = [], asyncio.Event()

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError  # by the specification: it has no lifespan
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})
        await answered.wait()
        done.append(scope["path"])

    async with LocalServer(Variant(app)) as server, ClientSession() as session:
        async with asyncio.timeout(5):
            for _ in range(4):  # one connection, kept
                async with session.get(f"http://127.0.0.1:{server.port}/x") as answer:
                    assert await answer.read() == b"x"
            answered.set()
            while len(done) < 4:
                await asyncio.sleep(0.01)
    assert done == ["/x"] * 4


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_an_asgi_application_raises_is_counted_and_told(when):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            if when == "after":
                await send({"type": "http.response.start", "status": 503, "headers": []})
                await send({"type": "http.response.body", "body": b""})
            raise LookupError("nothing here")

    vitals = await drive(app, FEW)
    kind = {"before": "LookupError", "after": "HTTP 503"}[when]
    assert vitals.errors == {kind: 10}
    assert "nothing here (test_applications.py:" in vitals.failure_warning


async def test_a_startup_that_fails_is_told_with_its_reason():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(LoadError, match="startup failed: no database"):
        await drive(app, FEW)


async def test_a_wsgi_application_that_raises_or_forgets_to_begin_is_counted():
    def forgets(environ, start_response):
        return []

    vitals = await drive(forgets, FEW)
    assert vitals.errors == {"RuntimeError": 10}
    assert "never called start_response" in vitals.failure_warning


class Callable:
    async def __call__(self, request):
        return request.number


@pytest.mark.parametrize(
    ("target", "form"),
    [
        (Callable(), "handler"),
        (lambda request, retries=3: None, "handler"),
        (lambda environ, start_response: [], "wsgi"),
        (lambda: None, "factory"),
        (3, None),
    ],
)
def test_a_form_is_known_by_the_signature(target, form):
    assert form_of(target) == form


def test_a_coroutine_function_of_two_arguments_is_no_application():
    async def handler(request, extra):
        pass

    assert form_of(handler) is None
    with pytest.raises(LoadError, match=r"async def handler\(request\)"):
        Variant(handler)


@pytest.mark.parametrize("name", ["handler", "app", "make_app"])
async def test_a_file_without_a_name_means_the_usual_one(name, tmp_path):
    file = tmp_path / "service.py"
    source = {
        "handler": "async def handler(request): return 1",
        "app": "def app(environ, start): start('200 OK', []); return []",
        "make_app": "from aiohttp import web\ndef make_app(): return web.Application()",
    }[name]
    file.write_text(source)
    assert Variant(str(file)).name == "service"
    async with LocalServer(Variant(str(file))) as server:
        assert server.form == {"handler": "async callable", "make_app": "aiohttp application"}.get(
            name, "WSGI application on 8 threads"
        )
    file.write_text("x = 1")
    with pytest.raises(
        LoadError, match=r"defines none of handler, app, .* 'service\.py:name'|none of"
    ):
        Variant(str(file)).load()


async def test_a_file_of_a_package_and_a_module_by_its_name_import_their_neighbors(
    tmp_path, monkeypatch
):
    package = tmp_path / "shop_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "prices.py").write_text("PRICE = 3")
    (package / "web.py").write_text(
        "from .prices import PRICE\nasync def handler(request): return PRICE\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        for words in (f"{package / 'web.py'}:handler", "shop_of_a_test.web:handler"):
            vitals = await drive(words, Load(jobs=2))
            assert vitals.answered == 2
    finally:
        for name in [one for one in sys.modules if one.startswith("shop_of_a_test")]:
            del sys.modules[name]
    with pytest.raises(LoadError, match="no module 'shop_of_nobody'"):
        Variant("shop_of_nobody.web:handler")
