"""A learner of a room: the requests that a browser makes through the hub's API and kernels' websockets."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from room_hub import Room
from room_page import TOO_BUSY

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ("00_start_here", "01_blocking_sleep")
LAB = "01_blocking_sleep"
_TRIES = 3


@dataclass
class Learner:
    """What one learner did, in seconds from when each was asked for."""

    name: str
    page: float = 0.0
    cells: int = 0
    errors: list[str] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    places: set[int] = field(default_factory=set)
    """How many checks were before this learner's, as the notebook showed it."""
    memory: int = 0
    """Bytes at most; what processes share is counted once (PSS)."""
    token: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    """What each hostile attempt got; empty where it succeeded."""


class Server:
    """A learner's own server, reached with their own token."""

    def __init__(self, made: Room, learner: Learner, session: aiohttp.ClientSession) -> None:
        self._room, self._session, self.learner = made, session, learner
        self.url = f"{made.url}/user/{learner.name}"

    async def ask(self, method: str, path: str, *, url: str = "", **options: Any) -> Any:
        """Return what an API of this server, or of `url`, answers; raise ClientResponseError if it refuses."""
        given = {"headers": {"Authorization": f"token {self.learner.token}"}, **options}
        async with self._session.request(method, f"{url or self.url}{path}", **given) as answer:
            answer.raise_for_status()
            is_json = answer.content_type == "application/json"
            return await (answer.json() if is_json else answer.text())

    async def start(self) -> None:
        """Start it through the hub, and load the page of the first notebook."""
        began, admin = time.monotonic(), {"Authorization": f"token {self._room.token}"}
        hub = f"{self._room.url}/hub/api/users/{self.learner.name}"
        made = await self.ask("POST", "/tokens", url=hub, headers=admin, json={})
        self.learner.token = made["token"]
        while True:
            async with self._session.post(f"{hub}/server", headers=admin) as answer:
                if answer.status in (201, 202, 400):  # the last: it runs already
                    break
                if answer.status != 429:  # as many as the hub starts at once are starting
                    raise RuntimeError(await answer.text())
            await asyncio.sleep(1)
        while True:
            server = (await self.ask("GET", "", url=hub, headers=admin))["servers"].get("")
            if server is None:
                raise RuntimeError("The server did not start.")
            if server["ready"]:
                break
            await asyncio.sleep(0.2)
        await self.ask("GET", f"/lab/tree/notebooks/{NOTEBOOKS[0]}.ipynb")
        self.learner.page = self.learner.page or time.monotonic() - began

    async def save_lab(self, text: str) -> None:
        """Save the first lab, as JupyterLab does."""
        body = {"type": "file", "format": "text", "content": text}
        await self.ask("PUT", f"/api/contents/labs/{LAB}.py", json=body)

    @contextlib.asynccontextmanager
    async def kernel(self, name: str) -> AsyncIterator["Kernel"]:
        """Give a kernel of a notebook; it stays, as in a tab that nobody closes."""
        body = {"path": f"notebooks/{name}.ipynb", "type": "notebook", "name": ""}
        made = await self.ask("POST", "/api/sessions", json={**body, "kernel": {"name": "python3"}})
        number = made["kernel"]["id"]
        url = f"{self.url}/api/kernels/{number}/channels?session_id={uuid.uuid4().hex}"
        headers = {"Authorization": f"token {self.learner.token}"}
        async with self._session.ws_connect(url, headers=headers, max_msg_size=0) as socket:
            yield Kernel(socket, self.learner)


class Kernel:
    """One kernel's websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, learner: Learner) -> None:
        self._socket, self._learner = socket, learner

    async def run(self, code: str, within: float = 600.0) -> str:
        """Run a cell; return what it printed and showed as text. An error is added to the learner's."""
        number = uuid.uuid4().hex
        header = {"msg_id": number, "msg_type": "execute_request", "version": "5.3", "session": "x"}
        content = {"code": code, "silent": False, "allow_stdin": False, "stop_on_error": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await self._socket.send_json({**message, "channel": "shell", "buffers": []})
        said: list[str] = []
        async with asyncio.timeout(within):
            async for frame in self._socket:
                heard = json.loads(frame.data)
                if heard["parent_header"].get("msg_id") != number:
                    continue
                kind, content = heard["msg_type"], heard["content"]
                if kind == "stream":
                    said.append(content["text"])
                elif kind in ("display_data", "execute_result", "update_display_data"):
                    text = content["data"].get("text/plain", "")
                    said.append(text)
                    if "before it in the room's queue" in text:
                        self._learner.places.add(int(text.split("Checking: ")[1].split()[0]))
                elif kind == "error":
                    self._learner.errors.append(f"{content['ename']}: {content['evalue']}")
                elif kind == "status" and content["execution_state"] == "idle":
                    return "".join(said)
        raise RuntimeError("The kernel's websocket was closed.")

    async def value(self, expression: str) -> Any:
        """Return the value of an expression, if it has a form in JSON, else None."""
        said = await self.run(f"import json; print('VALUE' + json.dumps({expression}))")
        return json.loads(said.rpartition("VALUE")[2] or "null")

    async def notebook(self, name: str) -> None:
        """Run the cells of a notebook, one after the other."""
        for cell in json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]:
            if cell["cell_type"] == "code":
                await self.run("".join(cell["source"]))
                self._learner.cells += 1

    async def check(self, expected: str) -> None:
        """Check the first lab, again while the machine is too busy; keep each verdict and the seconds to it."""
        code = f"json.loads(__import__('loopclinic').check({LAB[:2]!r}).to_json())"
        for _ in range(_TRIES):
            began = time.monotonic()
            found = await self.value(code) or {}
            kept = {"expected": expected, "status": found.get("status", "none")}
            kept |= {"waited": time.monotonic() - began, "took": found.get("seconds")}
            reasons = [one["sentence"] for one in found.get("reasons", ())]
            self._learner.verdicts.append({**kept, "reasons": reasons})
            if kept["status"] != TOO_BUSY:
                return
