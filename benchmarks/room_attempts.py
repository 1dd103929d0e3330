"""What a hostile learner of a room tries, each of which must be refused."""

import contextlib
import secrets
from pathlib import Path

import aiohttp
from room_hub import Room, processes_of
from room_learner import LAB, ROOT, Learner, Server

_FORKS = """

async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    import os, time
    while True:
        if os.fork() == 0:
            time.sleep(60)
"""
"""Put below the lab as it ships."""


async def attempts(
    made: Room, hostile: Learner, other: Learner, session: aiohttp.ClientSession
) -> None:
    """Try what must be refused, as one learner against another; both servers run."""
    server, victim = Server(made, hostile, session), Server(made, other, session)
    forged = {"headers": {"Authorization": f"token {secrets.token_hex(16)}"}}
    live = f"{made.url}/services/room"
    for what, method, path, url, given in (
        ("another's files through the hub", "GET", "/api/contents/labs", victim.url, {}),
        ("another's kernels through the hub", "GET", "/api/kernels", victim.url, {}),
        ("another's server through the hub's API", "GET", f"/users/{other.name}", "hub/api", {}),
        ("a turn with a forged token", "POST", "/checks/", "services", forged),
        ("a forged entry in the live room", "PUT", "/entry", live, {**forged, "data": b"{}"}),
        ("a made-up entry in the live room", "PUT", "/entry", live, {"data": b"[" * 30_000}),
        ("an endless entry in the live room", "PUT", "/entry", live, {"data": b"x" * 10**6}),
        ("joining the live room twice", "POST", "/join", live, {}),
        ("the address of the facilitator's page", "GET", "/key", live, {}),
        ("the facilitator's page", "GET", f"/?key={hostile.token}", live, {}),
        ("the facilitator's clock", "POST", "/clock", live, {}),
        ("the grade book", "GET", "/grades.csv", live, {}),
    ):
        at = url if "://" in url else f"{made.url}/{url}"
        try:
            await server.ask(method, path, url=at, **given)
            hostile.refused[what] = ""
        except aiohttp.ClientResponseError as error:
            refused = error.status in (400, 403, 404, 413)
            hostile.refused[what] = str(error.status) if refused else ""
        except aiohttp.ClientConnectorError:
            raise  # nobody is there
        except aiohttp.ClientOSError as error:
            # It was closed before all was sent, and the answer may be lost.
            hostile.refused[what] = str(error)
    hostile.refused["more turns than one"] = await _flood(made, session, hostile.token)
    async with victim.kernel("mine") as theirs, server.kernel("hostile") as kernel:
        for one in (theirs, kernel):
            await one.run(Path(__file__).with_name("room_hostile.py").read_text())
        known = await theirs.value(f"diary({other.name!r})")
        hostile.refused |= await kernel.value(f"attempts({known!r}, {made.state!r})")
        # All connections that the hostile learner can get are held while the other one works on.
        still = await theirs.value("still_there()")
        hostile.refused["spoiling another's data or work"] = "unspoiled" if still else ""
        await kernel.run("for one in held: one.close()")
        await server.save_lab((ROOT / "labs" / f"{LAB}.py").read_text() + _FORKS)
        await kernel.check("not-yet")
    verdict = hostile.verdicts[-1]
    said = verdict["reasons"][0] if verdict["reasons"] else verdict["status"]
    # Their memory is over the limit before their number, or after it.
    named = verdict["status"] == "not-yet" and ("fork" in said or "processes" in said)
    over = named and len(processes_of(hostile.name)) < 30
    hostile.refused["a check that forks without end"] = said if over else ""


async def _flood(made: Room, session: aiohttp.ClientSession, token: str) -> str:
    """Ask for six turns at once; return what became of them, empty if more than one was had."""
    headers, held, full = {"Authorization": f"token {token}"}, 0, 0
    async with contextlib.AsyncExitStack() as stack:
        asked = [session.post(f"{made.url}/services/checks/", headers=headers) for _ in range(6)]
        for answer in [await stack.enter_async_context(one) for one in asked]:
            full += answer.status == 429
            held += answer.status == 200 and b"turn" in await answer.content.readline()
            answer.close()
    return f"{held} had, {full} refused with 429" if held <= 1 and full == 2 else ""
