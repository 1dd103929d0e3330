"""A live room on a hub: who is in it by their server's token, and who gets the address of the page."""

import asyncio
import os

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from loopclinic.cli.main import main
from loopclinic.paths import state_dir
from loopclinic.room import hub as on_hub
from loopclinic.room.hub import Hub, page_on_hub
from loopclinic.room.live_room import RefusedError
from loopclinic.room.sender import VARIABLE, RoomRefusedError, Sender
from loopclinic.room.web import application

from .conftest import entry

ROOM = "access:services!service=room"
TOKENS = {
    "ann-1": {"kind": "user", "name": "ann", "scopes": ["self", ROOM]},
    "ann-2": {"kind": "user", "name": "ann", "scopes": ["access:services"]},
    "bob": {"kind": "user", "name": "bob", "scopes": [ROOM]},
    "kim": {"kind": "user", "name": "kim", "scopes": [ROOM]},
    "weak": {"kind": "user", "name": "ann", "scopes": ["users:activity!user"]},
    "service": {"kind": "service", "name": "ann", "scopes": [ROOM]},
}
"""What the hub says of each; kim is the facilitator."""


@pytest.fixture
async def asked(monkeypatch):
    """A hub; given are the tokens that it was asked about."""
    asked = []

    async def user(request):
        token = request.headers["Authorization"].removeprefix("token ")
        asked.append(token)
        if token == "broken":
            return web.Response(text="<html>")
        found = TOKENS.get(token)
        return web.json_response(found or {"message": "Missing"}, status=200 if found else 403)

    app = web.Application()
    app.router.add_get("/hub/api/user", user)
    async with TestServer(app) as server:
        monkeypatch.setenv("JUPYTERHUB_API_URL", str(server.make_url("/hub/api")))
        monkeypatch.setenv("JUPYTERHUB_SERVICE_NAME", "room")
        monkeypatch.setenv("ROOM_ADMINS", "kim lee")
        yield asked


@pytest.fixture
async def client(room, asked, monkeypatch):
    async with TestClient(TestServer(application(room, "", Hub()))) as client:
        monkeypatch.setenv(VARIABLE, str(client.make_url("/services/room")))
        yield client


async def put(client, token, **given):
    headers = {"Authorization": f"Bearer {token}"}
    return (await client.put("/services/room/entry", data=entry(**given), headers=headers)).status


def names(room):
    return [learner.label for learner, _ in room.people]


async def test_a_learner_has_one_seat_whatever_token_and_no_name_unless_typed(client, room, asked):
    for token in ("ann-1", "ann-2", "bob", "ann-1"):
        assert await put(client, token) == 204
    assert names(room) == ["unnamed 1", "unnamed 2"]
    assert await put(client, "bob", name="Bob") == 204
    assert names(room) == ["unnamed 1", "Bob"]
    assert asked == ["ann-1", "ann-2", "bob"]  # once each


@pytest.mark.parametrize("token", ["", "forged", "ann", "weak", "service"])
async def test_other_tokens_open_nothing(client, room, token):
    await put(client, "ann-1")
    assert await put(client, token) == 403
    assert await put(client, room.view) == await put(client, room.token) == 403
    headers = {"Authorization": f"Bearer {token}"}
    assert (await client.get("/services/room/key", headers=headers)).status == 403
    assert len(room.people) == 1


async def test_nobody_joins_by_a_line(client, room):
    headers = {"Authorization": f"Bearer {room.token}"}
    assert (await client.post("/services/room/join", headers=headers)).status == 403
    text = await (await client.get("/services/room/", params={"key": room.view})).text()
    assert "Everybody on this hub is in the room." in text
    assert room.token not in text


async def test_a_facilitator_gets_the_page_and_is_no_learner(client, room, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "kim")
    assert await put(client, "kim") == 204
    assert room.people == []
    monkeypatch.setenv("JUPYTERHUB_BASE_URL", "/class/")
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_HUB_URL", "https://hub.example/class/hub/")
    address = f"https://hub.example/class/services/room/?key={room.view}"
    assert await asyncio.to_thread(page_on_hub) == address
    monkeypatch.delenv("JUPYTERHUB_PUBLIC_HUB_URL")
    said = await asyncio.to_thread(page_on_hub)
    assert said == f"the address of this hub, then /class/services/room/?key={room.view}"


async def test_a_learner_who_asks_for_the_page_is_told_who_gets_it(client, monkeypatch, capsys):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "ann-1")
    assert await asyncio.to_thread(main, ["room"]) == 2
    assert "ROOM_ADMINS" in capsys.readouterr().err


def test_a_room_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:9/services/room")
    with pytest.raises(RefusedError, match="does not answer"):
        page_on_hub()


async def test_a_flood_of_forged_tokens_keeps_nobody_out_who_is_in(client, room, asked):
    await put(client, "ann-1")
    statuses = [await put(client, f"forged {number}") for number in range(100)]
    assert {*statuses[:59]} == {403}
    assert {*statuses[59:]} == {429}
    assert len(asked) == 60  # and the hub has its peace
    assert await put(client, "ann-1") == 204


async def test_tokens_are_not_remembered_without_end(client, monkeypatch, asked):
    monkeypatch.setattr(on_hub, "_REMEMBERED", 1)
    for token in ("ann-1", "bob", "bob", "ann-1"):
        assert await put(client, token) == 204
    assert asked == ["ann-1", "bob", "ann-1"]


async def test_a_hub_that_does_not_answer_is_no_refusal(client, monkeypatch):
    assert await put(client, "broken") == 503
    monkeypatch.setenv("JUPYTERHUB_API_URL", "http://127.0.0.1:9/hub/api")
    with pytest.raises(RefusedError) as refused:
        await Hub().name_of("bob", on_hub.Allowance(1, 1.0, lambda: 0.0), "")
    assert (refused.value.status, refused.value.wait) == (503, 5)


@pytest.fixture
def sender(client):
    """A sender of ann's server; her server has one, and she may start another in a terminal."""

    def make(name="", token="ann-1"):
        return Sender((os.environ[VARIABLE], ""), name, [].append, token)

    return make


async def test_a_name_that_was_typed_once_is_that_of_her_servers_sender(sender, room):
    of_server = sender()
    await asyncio.to_thread(of_server.step, 0.0)
    assert names(room) == ["unnamed 1"]
    await asyncio.to_thread(sender("Ann").step, 0.0)
    await asyncio.to_thread(of_server.step, 2.0)
    await asyncio.to_thread(sender().step, 0.0)
    assert names(room) == ["Ann"]
    assert "ann-1" not in (state_dir() / "room.json").read_text()


async def test_a_room_that_was_started_again_has_everybody_at_once(sender, room):
    one = sender()
    await asyncio.to_thread(one.step, 0.0)
    room._seats.clear()
    await asyncio.to_thread(one.step, 20.0)
    assert names(room) == ["unnamed 1"]


async def test_a_token_that_is_refused_ends_the_sender(sender):
    with pytest.raises(RoomRefusedError, match="no learner"):
        await asyncio.to_thread(sender(token="forged").step, 0.0)


def test_a_servers_sender_ends_with_the_server(monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:9/services/room")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "ann-1")
    steps, parents = [], iter([7, 7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(Sender, "step", lambda _, now: steps.append(now) or 0.0)
    assert main(["join"]) == 0
    assert len(steps) == 2


def test_without_a_hub_the_address_is_asked_for(monkeypatch, capsys):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main(["join"]) == 2
    assert "Name the room's address, such as" in capsys.readouterr().err
