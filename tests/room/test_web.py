"""The room's server, and a sender that speaks to it: over real sockets, without waiting."""

import asyncio
import contextlib
import gzip
import json
import re
import socket
import urllib.error
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from loopclinic.cli.main import main
from loopclinic.paths import state_dir
from loopclinic.recall import guesses
from loopclinic.room import sender as sending
from loopclinic.room import web as serving
from loopclinic.room.entry import LARGEST
from loopclinic.room.sender import RoomRefusedError, Sender, line_of
from loopclinic.room.web import application
from loopclinic.room.web import runner as serve_room

from .conftest import HERE, entry


@pytest.fixture
async def client(room):
    async with TestClient(TestServer(application(room, f"192.0.2.1:8901/{room.token}"))) as client:
        yield client


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


async def joined(client, room):
    answer = await client.post("/join", headers=bearer(room.token))
    return (await answer.json())["key"]


async def test_from_the_line_to_the_page(client, room):
    key = await joined(client, room)
    sent = await client.put("/entry", data=entry(name="Kim"), headers=bearer(key))
    assert sent.status == 204
    answer = await client.get("/", params={"key": room.view})
    text = await answer.text()
    assert "Kim" in text
    assert f"loopclinic join 192.0.2.1:8901/{room.token}" in text
    policy = answer.headers["Content-Security-Policy"]
    nonce = re.search(r"'nonce-([\w-]+)'", policy)[1]
    assert f'nonce="{nonce}"' in text
    assert policy.startswith("default-src 'none';")
    assert room.view not in text  # a picture of the page opens nothing


async def test_the_clock_and_the_grade_book(client, room):
    for running in (True, False):
        assert (await client.post("/clock", params={"key": room.view})).status == 204
        assert room.running == running
    answer = await client.get("/grades.csv", params={"key": room.view})
    assert answer.content_type == "text/csv"
    assert (await answer.text()).startswith('"learner","labs passed","01 lab","01 checks"')


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/view"), ("POST", "/clock"), ("GET", "/grades.csv")]
)
async def test_what_is_the_facilitators_is_closed_to_learners(client, room, method, path):
    key = await joined(client, room)
    for params in ({}, {"key": ""}, {"key": room.token}, {"key": key}):
        answer = await client.request(method, path, params=params, headers=bearer(key))
        assert answer.status == 403
        assert (await answer.text()).count("\n") == 0
    assert not room.running


async def test_an_entry_that_is_too_large_is_not_read(client, room):
    key = await joined(client, room)
    answer = await client.put("/entry", data=b"x" * (LARGEST + 1), headers=bearer(key))
    assert answer.status == 413
    assert (await client.put("/entry", data=entry(), headers=bearer(key))).status == 204


@pytest.fixture
async def raw(room):
    """Return a function that sends bytes to the room as it is served, and returns the first line of the answer."""
    serving = serve_room(room, "192.0.2.1:8901/a-token")
    await serving.setup()
    site = web.TCPSite(serving, "127.0.0.1", 0)
    await site.start()
    (host, port), *_ = serving.addresses

    async def send(data, *, stay=True):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(data)
        await writer.drain()
        line = await reader.readline() if stay else b""
        writer.close()
        return line.decode().strip()

    yield send
    await serving.cleanup()


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xff" * 100 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"PUT /entry HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"PUT /entry HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"GET /?key=%ff%00%0d%0a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /join HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        b"PUT /entry HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"DELETE /entry HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=lambda data: data[:30].decode(errors="replace"),
)
async def test_what_is_no_request_of_ours_is_refused_and_fills_no_terminal(raw, room, data, caplog):
    assert re.match(r"HTTP/1\.[01] 4\d\d ", await raw(data))
    assert caplog.records == []
    assert room.people == []


async def test_a_compressed_entry_is_refused_before_it_grows(raw, room):
    key, data = room.join(room.token, HERE), gzip.compress(b" " * 50_000_000 + entry())
    head = f"PUT /entry HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Encoding: gzip\r\n"
    sent = f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
    assert await raw(sent) == "HTTP/1.1 413 Request Entity Too Large"
    small = gzip.compress(entry())
    sent = f"{head}Content-Length: {len(small)}\r\n\r\n".encode() + small
    assert await raw(sent) == "HTTP/1.1 400 Bad Request"


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
async def test_a_connection_on_which_no_whole_request_comes_is_closed(room, begun, monkeypatch):
    monkeypatch.setattr(serving, "_IDLE", 0.01)
    one = serve_room(room, "")
    await one.setup()
    await web.TCPSite(one, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*one.addresses[0])
    writer.write(begun)
    with contextlib.suppress(ConnectionResetError):  # it was closed before that was read
        assert await reader.read() == b""  # the end of it; otherwise this test waits forever
    writer.close()
    await one.cleanup()


@pytest.mark.parametrize("prefix", ["/", "/services/room/", "/a/b/c/"])
async def test_the_room_answers_below_any_prefix(client, room, prefix):
    answer = await client.post(f"{prefix}join", headers=bearer(room.token))
    key = (await answer.json())["key"]
    assert (await client.put(f"{prefix}entry", data=entry(), headers=bearer(key))).status == 204
    for path in ("", "view", "grades.csv"):
        answer = await client.get(prefix + path, params={"key": room.view})
        assert answer.status == 200
        assert (await client.get(prefix + path)).status == 403
    assert (await client.get(f"{prefix}elsewhere", params={"key": room.view})).status == 404


async def test_an_entry_that_breaks_off_leaves_no_trace(raw, room, caplog):
    key = room.join(room.token, HERE)
    head = f"PUT /entry HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 300\r\n\r\n"
    for part in ("", "{"):
        await raw((head + part).encode(), stay=False)
    assert await raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == "HTTP/1.1 403 Forbidden"
    assert caplog.records == []


async def test_a_fault_of_our_own_is_logged(raw, room, caplog, monkeypatch):
    monkeypatch.setattr(room, "toggle_clock", lambda: 1 / 0)
    answer = await raw(f"POST /clock?key={room.view} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith("HTTP/1.1 500")
    assert "ZeroDivisionError" in caplog.text


async def test_a_request_that_never_ends_is_given_up(client, room, monkeypatch):
    monkeypatch.setattr(serving, "_PATIENCE", 0.0)
    key = await joined(client, room)

    async def never():
        yield b"{"
        await asyncio.Event().wait()

    answer = await client.put("/entry", data=never(), headers=bearer(key))
    assert answer.status == 408


async def test_too_many_requests_are_told_when_to_come_back(client, room):
    key = await joined(client, room)
    for _ in range(10):
        await client.put("/entry", data=entry(), headers=bearer(key))
    answer = await client.put("/entry", data=entry(), headers=bearer(key))
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("192.168.1.5:8901/k7q2m9x4twab", ("http://192.168.1.5:8901", "k7q2m9x4twab")),
        (" http://room.local:80/k7q2m9x4twab/ ", ("http://room.local:80", "k7q2m9x4twab")),
        ("https://room.example/kit/k7q2m9x4twab", ("https://room.example/kit", "k7q2m9x4twab")),
        ("192.168.1.5/k7q2m9x4twab", None),
        ("192.168.1.5:8901", None),
        ("192.168.1.5:8901/../../etc/passwd", None),
        ("192.168.1.5:8901/../k7q2m9x4twab", None),
        ("file://room.local/k7q2m9x4twab", None),
        ("me@192.168.1.5:8901/k7q2m9x4twab", None),
        ("https://me:secret@room.example/k7q2m9x4twab", None),
    ],
)
def test_a_line_is_an_address_and_a_token(text, line):
    assert line_of(text) == line


def test_a_line_that_is_none_is_refused_with_an_example(capsys):
    assert main(["join", "somewhere"]) == 2
    assert "192.168.1.5:8901/" in capsys.readouterr().err


@pytest.fixture
def learner(client, room):
    """A sender at this room, and what it says."""
    said = []

    def make(token=None, name="Kim"):
        address = f"http://127.0.0.1:{client.port}"
        return Sender((address, token or room.token), name, said.append)

    make.said = said
    return make


async def step(sender, now=0.0):
    return await asyncio.to_thread(sender.step, now)


async def test_a_sender_sends_what_has_changed_and_a_sign_of_life(learner, room, clock):
    one = learner()
    await step(one, 0)
    assert [who.label for who, _ in room.people] == ["Kim"]
    clock.now += 5
    await step(one, 5)  # nothing new
    (_, seat), *_ = room.people
    assert seat.seen == clock.now - 5
    guesses.note("How many of 2,000 are published?", 500)
    await step(one, 7)
    assert seat.entry.guesses == {"04": (500, None)}
    assert (seat.seen, seat.entry.at) == (clock.now, "04")
    clock.now += 15
    await step(one, 22)
    assert seat.seen == clock.now
    assert learner.said == ["You are in the room."]


async def test_a_sender_that_begins_again_is_the_same_learner(learner, room):
    await step(learner())
    assert (state_dir() / "room.json").stat().st_mode & 0o777 == 0o600
    await step(learner(name="Kim again"))
    assert [who.label for who, _ in room.people] == ["Kim again"]


async def test_a_room_that_was_started_again_is_joined_anew(learner, room):
    one = learner()
    await step(one)
    room._seats.clear()
    await step(one, 20)
    assert room.people == []
    await step(one, 22)
    assert [who.label for who, _ in room.people] == ["Kim"]


async def test_a_wrong_token_ends_the_sender_with_the_rooms_sentence(learner):
    with pytest.raises(RoomRefusedError, match="another token"):
        await step(learner("wrongwrong"))


async def test_a_sender_waits_as_long_as_the_room_says(learner, room):
    one = learner()
    await step(one, 0)
    waits = [await step(one, 20 * number) for number in range(1, 11)]
    assert waits == [sending.LOOKS] * 9 + [1.0]


def test_a_room_that_does_not_answer_is_said_once_and_tried_again(monkeypatch):
    said, answers = (
        [],
        [urllib.error.URLError("refused"), TimeoutError("late"), None, OSError("gone"), None],
    )

    class Answer:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, most):
            return b'{"key": "a key"}'

    def opened(asked, timeout):
        if asked.full_url.endswith("/join"):
            return Answer()
        if (error := answers.pop(0)) is not None:
            raise error
        return Answer()

    monkeypatch.setattr(sending._opener, "open", opened)
    one = Sender(("http://192.0.2.1:1", "k7q2m9x4twab"), "", said.append)
    waits = [one.step(100.0 * number) for number in range(5)]
    assert waits == [5.0, 5.0, 2.0, 5.0, 2.0]
    assert [sentence[:17] for sentence in said] == [
        "The room does not",
        "You are in the ro",
        "The room does not",
        "You are in the ro",
    ]


@pytest.fixture
async def other():
    """A server that is no room: it answers as the test says, and remembers what it was asked."""
    asked = []

    async def answer(request):
        asked.append((request.method, request.path, request.headers.get("Authorization")))
        return web.Response(**answering)

    answering = {}
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield SimpleNamespace(port=server.port, asked=asked, answering=answering)


@pytest.mark.parametrize(
    ("answering", "wait"),
    [
        ({"text": "<html>Please log in</html>"}, 5.0),
        ({"text": "[]"}, 5.0),
        ({"text": "{}"}, 5.0),
        ({"status": 204}, 5.0),
        ({"status": 500}, 5.0),
        ({"status": 404}, 5.0),
        ({"status": 503, "headers": {"Retry-After": "7"}}, 7.0),
        ({"status": 429, "headers": {"Retry-After": "0"}}, 1.0),
        ({"status": 429, "headers": {"Retry-After": "9" * 400}}, 60.0),
        ({"status": 429, "headers": {"Retry-After": "tomorrow"}}, 5.0),
    ],
)
async def test_what_answers_like_no_room_is_tried_again(other, answering, wait):
    other.answering.update(answering)
    one = Sender((f"http://127.0.0.1:{other.port}", "k7q2m9x4twab"), "Kim", [].append)
    assert await step(one) == wait
    assert [path for _, path, _ in other.asked] == ["/join"]  # and no entry was sent


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirection_is_not_followed(client, room, other, status):
    address = f"http://127.0.0.1:{client.port}/join"
    other.answering.update(status=status, headers={"Location": address}, text="elsewhere\x1b[2J")
    one = Sender((f"http://127.0.0.1:{other.port}", room.token), "Kim", [].append)
    with pytest.raises(RoomRefusedError) as refused:
        await step(one)
    assert "\x1b" not in str(refused.value)
    assert len(other.asked) == 1
    assert room.people == []


@pytest.mark.parametrize(
    "answer",
    [
        b"\x1b[2Jno such thing\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 403 No\r\nContent-Length: 900\r\n\r\n\x1b[2Jwhy",
        b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_an_answer_of_a_hostile_server_ends_in_a_plain_sentence(answer):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    said = []
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        one = Sender((f"http://{host}:{port}", "k7q2m9x4twab"), "Kim", said.append)
        try:
            await step(one)
        except RoomRefusedError as error:
            said.append(str(error))
    assert "".join(said).isprintable()


def test_an_address_that_cannot_be_is_said():
    said = []
    assert Sender(("http://127.0.0.1:99999", "k7q2m9x4twab"), "", said.append).step(0.0) == 5.0
    assert said[0].startswith("The room does not answer")


async def test_nothing_goes_through_a_proxy(learner, room, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await step(learner())
    assert len(room.people) == 1


async def test_a_damaged_key_file_is_no_matter(learner, room):
    (state_dir() / "room.json").write_text("{")
    await step(learner())
    assert json.loads((state_dir() / "room.json").read_text())["key"]
    assert len(room.people) == 1


def test_what_cannot_be_served_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["room", "--no-browser", "--host", "127.0.0.1", "--port", port]) == 2
    assert "--port" in capsys.readouterr().err
    assert main(["room", "--no-browser", "--port", "99999"]) == 2
    assert "99999 is no port" in capsys.readouterr().err
    assert main(["room", "--no-browser", "--csv", "/no/such/folder/x.csv"]) == 2
    assert "can't be written" in capsys.readouterr().err
