"""Try deploy/jupyterhub with learners at once: their notebooks, labs and checks, and what must be refused.

    python benchmarks/room.py [--learners 12] [--hostile] [--json FILE] [--page docs/jupyterhub.md]

Run it as root, on Linux, with the Python of an environment that has the kit and deploy/jupyterhub's
requirements, in a folder that other accounts may enter; configurable-http-proxy must be on PATH. It makes a
system account for each learner, a PostgreSQL and a Valkey for the room, and a hub, and removes them. Learners
work through the hub's API and the websockets of their kernels. `--hostile` makes the attempts of a hostile
learner alone. The exit status is 1 if a verdict is wrong, an attempt succeeds or something is left.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pwd
import runpy
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import psycopg
import redis

from loopclinic.servers.postgres.binaries import find_binaries
from loopclinic.servers.valkey import binary

ROOT = Path(__file__).resolve().parents[1]
DEPLOYED = ROOT / "deploy" / "jupyterhub"
NOTEBOOKS = ("00_start_here", "01_blocking_sleep")
LAB = "01_blocking_sleep"
IDLE = 60
"""Seconds until the hub ends a server that nobody uses; an hour in a real room."""
TOO_BUSY = "too-busy"
"""The status of a verdict that judges nothing, because other programs had the processors."""
_PREFIX = "roomtrial"
_TRIES = 3
_LONGEST = 1500.0
"""Seconds that the learners' hour may take."""
_FORKS = """

async def transcribe(session, clip, *, attempts=4, backoff=0.2, deadline=5.0):
    import os, time
    while True:
        if os.fork() == 0:
            time.sleep(60)
"""
"""Put below the lab as it ships."""


# The room: its servers, its accounts, its hub.


@dataclass
class Room:
    """A hub that runs: its address, the token that may do anything, and the learners' names."""

    url: str
    token: str
    learners: list[str]
    postgres: str
    valkey: str
    state: str


@contextlib.contextmanager
def room(learners: int, at_once: int) -> Iterator[Room]:
    """Give a room with so many learners; remove all of it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="loopclinic-room-"))
    folder.chmod(0o711)
    names = [f"{_PREFIX}{number:02}" for number in range(1, learners + 1)]
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # A copy of what is deployed, for a clone may be closed to other accounts.
        deployed = shutil.copytree(DEPLOYED, folder / "deploy")
        os.chmod(deployed, 0o755)  # noqa: S103, PTH101 - learners' servers start from it
        postgres = stack.enter_context(postgres_of_room(folder, learners))
        valkey = stack.enter_context(valkey_of_room(folder))
        for name in names:
            stack.enter_context(_account(name, folder))
        token, port = secrets.token_hex(16), _free_ports()
        extra = folder / "trial.py"
        extra.write_text(_TRIAL.format(token=token))
        environ = {
            **{k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")},
            "LOOPCLINIC_PYTHON": sys.executable,
            "ROOM_PORT": str(port),
            "ROOM_AT_ONCE": str(at_once),
            "ROOM_IDLE": str(IDLE),
            "ROOM_LEARNERS": " ".join(names),
            "ROOM_STATE": str(folder / "state"),
            "ROOM_CONFIG": str(extra),
            "ROOM_SECRET": secrets.token_hex(32),
            "ROOM_DATABASE_URL": postgres,
            "ROOM_REDIS_URL": valkey,
        }
        command = [sys.executable, "-m", "jupyterhub", "-f", str(deployed / "jupyterhub_config.py")]
        log = stack.enter_context((folder / "hub.log").open("wb"))
        hub = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
        stack.callback(_end, hub)
        made = Room(
            f"http://127.0.0.1:{port}", token, names, postgres, valkey, environ["ROOM_STATE"]
        )
        try:
            asyncio.run(_answers(made, hub))
            yield made
        except BaseException:
            said = (folder / "hub.log").read_text(errors="replace").splitlines()
            print(*said[-60:], sep="\n", file=sys.stderr)
            raise


_TRIAL = """
c = get_config()
c.JupyterHub.services.append({{"name": "trial", "api_token": "{token}"}})
c.JupyterHub.load_roles.append({{
    "name": "trial", "services": ["trial"],
    "scopes": ["admin:users", "admin:servers", "tokens", "access:servers"],
}})
c.JupyterHub.last_activity_interval = 5
c.Spawner.environment.update({{"JUPYTERHUB_ACTIVITY_INTERVAL": "5"}})
"""


@contextlib.contextmanager
def postgres_of_room(folder: Path, learners: int) -> Iterator[str]:
    """Give the address of a PostgreSQL with connections for so many learners."""
    needed = runpy.run_path(str(DEPLOYED / "room_accounts.py"))
    place, port, secret = folder / "postgres", _free_ports(), secrets.token_hex(16)
    binaries = find_binaries(lambda _: folder)
    place.mkdir(mode=0o700)
    given = place / "given"
    given.write_text(secret)
    binaries.account.own(place, given)
    data = str(place / "data")
    words = ("-U", "room", "-E", "UTF8", "--no-locale", "-A", "scram-sha-256", "--no-sync")
    binaries.run("initdb", "-D", data, *words, f"--pwfile={given}", within=60.0)
    most = learners * needed["CONNECTIONS"] + needed["RESERVED"]
    settings = ["-h", "127.0.0.1", "-p", str(port), "-c", f"max_connections={most}", "-c"]
    settings += ["unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=64MB"]
    settings += ["-c", "dynamic_shared_memory_type=mmap"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": (folder / "postgres.log").open("wb")}
    server = subprocess.Popen(
        [*binaries.command("postgres"), "-D", data, *settings],
        cwd="/",
        **quiet,
        **binaries.account.options,
    )
    url = f"postgresql://room:{secret}@127.0.0.1:{port}/postgres"
    try:
        _until(lambda: psycopg.connect(url, connect_timeout=2).close(), psycopg.Error, 30)
        yield url
    finally:
        _end(server)


@contextlib.contextmanager
def valkey_of_room(folder: Path) -> Iterator[str]:
    """Give the address of a Valkey with a database a learner."""
    port, secret = _free_ports(), secrets.token_hex(16)
    settings = f"bind 127.0.0.1\nport {port}\nrequirepass {secret}\nsave ''\ndatabases 1000\n"
    settings += f"maxmemory 256mb\ndir {folder}\n"
    server = subprocess.Popen([binary(), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert server.stdin is not None
    with server.stdin:
        server.stdin.write(settings.encode())
    url = f"redis://:{secret}@127.0.0.1:{port}/0"
    try:
        _until(lambda: redis.Redis.from_url(url).ping(), redis.RedisError, 10)
        yield url
    finally:
        _end(server)


@contextlib.contextmanager
def _account(name: str, folder: Path) -> Iterator[None]:
    home = folder / name
    subprocess.run(["useradd", "-m", "-d", str(home), "-s", "/bin/bash", name], check=True)
    try:
        yield
    finally:
        for process in processes_of(name):
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.2)
        subprocess.run(["userdel", name], check=False, stderr=subprocess.DEVNULL)


def processes_of(name: str) -> list[psutil.Process]:
    """Return what runs as this account."""
    number, found = pwd.getpwnam(name).pw_uid, []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports() -> int:
    """Return a port that is free with the four after it."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            first = secrets.randbelow(20_000) + 20_000
            for port in range(first, first + 5):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def _until(done: Callable[[], Any], errors: type[Exception], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while True:
        try:
            done()
        except errors:
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)
        else:
            return


async def _answers(made: Room, hub: subprocess.Popen) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            if hub.poll() is not None:
                raise RuntimeError("The hub ended.")
            with contextlib.suppress(aiohttp.ClientError):
                checks = f"{made.url}/services/checks/"
                async with session.get(checks) as answer:  # the queue is up, too
                    if answer.status == 403:
                        return
            await asyncio.sleep(0.1)
    raise RuntimeError("The hub does not answer.")


# A learner: a browser's requests, without the browser.


@dataclass
class Learner:
    """What one learner did, in seconds from when each was asked for."""

    name: str
    number: int
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
        headers = {"Authorization": f"token {self.learner.token}"}
        answer = self._session.request(
            method, f"{url or self.url}{path}", headers=headers, **options
        )
        async with answer as answer:
            answer.raise_for_status()
            if answer.content_type == "application/json":
                return await answer.json()
            return await answer.text()

    async def start(self) -> None:
        """Start it through the hub, and load the page of the first notebook."""
        began, admin = time.monotonic(), {"Authorization": f"token {self._room.token}"}
        hub = f"{self._room.url}/hub/api/users/{self.learner.name}"
        async with self._session.post(f"{hub}/tokens", headers=admin, json={}) as answer:
            answer.raise_for_status()
            self.learner.token = (await answer.json())["token"]
        while True:
            async with self._session.post(f"{hub}/server", headers=admin) as answer:
                if answer.status in (201, 202, 400):  # the last: it runs already
                    break
                if answer.status != 429:  # as many as the hub starts at once are starting
                    raise RuntimeError(await answer.text())
            await asyncio.sleep(1)
        while True:
            async with self._session.get(hub, headers=admin) as answer:
                server = (await answer.json())["servers"].get("")
            if server is None:
                raise RuntimeError("The server did not start.")
            if server["ready"]:
                break
            await asyncio.sleep(0.2)
        await self.ask("GET", f"/lab/tree/notebooks/{NOTEBOOKS[0]}.ipynb")
        self.learner.page = self.learner.page or time.monotonic() - began

    @contextlib.asynccontextmanager
    async def kernel(self, path: str) -> AsyncIterator["Kernel"]:
        """Give a kernel in the folder of this file; it stays, as in a tab that nobody closes."""
        body = {"path": path, "type": "notebook", "name": "", "kernel": {"name": "python3"}}
        made = await self.ask("POST", "/api/sessions", json=body)
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

    async def notebook(self, name: str) -> None:
        """Run the cells of a notebook, one after the other."""
        cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
        for cell in cells:
            if cell["cell_type"] == "code":
                await self.run("".join(cell["source"]))
                self._learner.cells += 1

    async def check(self, expected: str) -> None:
        """Check the first lab, again while the machine is too busy; keep each verdict and the seconds to it."""
        for _ in range(_TRIES):
            await self._check_once(expected)
            if self._learner.verdicts[-1]["status"] != TOO_BUSY:
                return

    async def _check_once(self, expected: str) -> None:
        began = time.monotonic()
        said = await self.run(_CHECK)
        found = json.loads(said.rpartition("VERDICT")[2] or "{}")
        waited = time.monotonic() - began
        reasons = [one["sentence"] for one in found.get("reasons", ())]
        kept = {"expected": expected, "status": found.get("status", said[-200:]), "waited": waited}
        self._learner.verdicts.append({**kept, "took": found.get("seconds"), "reasons": reasons})


_CHECK = f"""
from loopclinic import check
verdict = check({LAB[:2]!r})
print("VERDICT" + verdict.to_json())
"""


async def day(made: Room, learner: Learner, session: aiohttp.ClientSession) -> None:
    """Spend a learner's first hour, without the pauses: 00, 01, the lab as it ships, the lab repaired."""
    server = Server(made, learner, session)
    try:
        async with asyncio.timeout(_LONGEST):
            await server.start()
            for name in NOTEBOOKS:
                async with server.kernel(f"notebooks/{name}.ipynb") as kernel:
                    await kernel.notebook(name)
            async with server.kernel("notebooks/lab.ipynb") as kernel:
                await kernel.check("not-yet")
                text = (ROOT / "solutions" / f"{LAB}.py").read_text()
                body = {"type": "file", "format": "text", "content": text}
                await server.ask("PUT", f"/api/contents/labs/{LAB}.py", json=body)
                await kernel.check("passed")
    except Exception as error:  # the others go on, and the table tells
        learner.errors.append(f"{type(error).__name__}: {error}")


# What a hostile learner tries.


async def attempts(
    made: Room, hostile: Learner, other: Learner, session: aiohttp.ClientSession
) -> None:
    """Try what must be refused, as one learner against another; both servers run."""
    server, victim = Server(made, hostile, session), Server(made, other, session)
    async with victim.kernel("notebooks/mine.ipynb") as kernel:
        said = await kernel.run(_OWN.format(name=other.name))
        theirs = json.loads(said.rpartition("OWN")[2])
    for what, path, url in (
        ("another's files through the hub", "/api/contents/labs", victim.url),
        ("another's kernels through the hub", "/api/kernels", victim.url),
        ("another's server through the hub's API", f"/hub/api/users/{other.name}", made.url),
    ):
        hostile.refused[what] = await _refusal(server.ask("GET", path, url=url))
    forged = {"Authorization": f"token {secrets.token_hex(16)}"}
    queue = f"{made.url}/services/checks/"
    async with session.post(queue, headers=forged) as answer:
        hostile.refused["a turn with a forged token"] = (
            "" if answer.status == 200 else str(answer.status)
        )
    hostile.refused["more turns than one"] = await _flood(session, queue, hostile.token)
    async with server.kernel("notebooks/hostile.ipynb") as kernel:
        given = {**theirs, "who": other.name, "home": pwd.getpwnam(other.name).pw_dir}
        said = await kernel.run(_HOSTILE.format(theirs=given, state=made.state))
        hostile.refused |= json.loads(said.rpartition("REFUSED")[2])
        # All connections that the hostile learner can get are held while the other one works on.
        async with victim.kernel("notebooks/mine.ipynb") as others:
            still = "STILL" in await others.run(_STILL)
        hostile.refused["spoiling another's data or work"] = "unspoiled" if still else ""
        await kernel.run("for one in held: one.close()")
        shipped = (ROOT / "labs" / f"{LAB}.py").read_text()
        body = {"type": "file", "format": "text", "content": shipped + _FORKS}
        await server.ask("PUT", f"/api/contents/labs/{LAB}.py", json=body)
        await kernel.check("not-yet")
    verdict = hostile.verdicts[-1]
    said = verdict["reasons"][0] if verdict["reasons"] else verdict["status"]
    # Their memory is over the limit before their number, or after it.
    named = verdict["status"] == "not-yet" and ("fork" in said or "processes" in said)
    over = named and len(processes_of(hostile.name)) < 30
    hostile.refused["a check that forks without end"] = said if over else ""


async def _refusal(asked: Any) -> str:
    try:
        await asked
    except aiohttp.ClientResponseError as error:
        return f"{error.status}" if error.status in (403, 404) else ""
    return ""


async def _flood(session: aiohttp.ClientSession, queue: str, token: str) -> str:
    """Ask for six turns at once; return what became of them, empty if more than one was had."""
    headers, held, full = {"Authorization": f"token {token}"}, 0, 0
    async with contextlib.AsyncExitStack() as stack:
        answers = [
            await stack.enter_async_context(session.post(queue, headers=headers)) for _ in range(6)
        ]
        for answer in answers:
            full += answer.status == 429
            held += answer.status == 200 and b"turn" in await answer.content.readline()
            answer.close()
    return f"{held} had, {full} refused with 429" if held <= 1 and full == 2 else ""


_OWN = """
import json, os, psycopg, redis
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as mine:
    mine.execute("CREATE TABLE IF NOT EXISTS diary (line text)")
    mine.execute("INSERT INTO diary VALUES ('secret of {name}')")
cache = redis.Redis.from_url(os.environ["REDIS_URL"])
cache.set("diary", "secret of {name}")
database = os.environ["DATABASE_URL"].rpartition("/")[2]
number = int(os.environ["REDIS_URL"].rpartition("/")[2])
port = int(os.environ["JUPYTERHUB_SERVICE_URL"].rpartition(":")[2].split("/")[0])
print("OWN" + json.dumps(dict(database=database, number=number, pid=os.getppid(), port=port)))
"""
_STILL = """
with psycopg.connect(os.environ["DATABASE_URL"]) as mine:
    lines = mine.execute("SELECT line FROM diary").fetchall()
print("STILL" if lines and cache.get("diary") else "GONE")
"""
_HOSTILE = """
import json, os, psycopg, redis, subprocess, urllib.request
from urllib.parse import urlsplit
theirs, refused = {theirs!r}, {{}}
mine, cache = os.environ["DATABASE_URL"], os.environ["REDIS_URL"]

def attempt(what, act, *errors):
    try:
        act()
        refused[what] = ""
    except errors as error:
        refused[what] = f"{{type(error).__name__}}: {{str(error).strip().splitlines()[-1]}}"[:160]

def sql(statement, url=mine):
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        connection.execute(statement)

def database(name):
    return mine.rpartition("/")[0] + "/" + name

def valkey(*words, number=None):
    url = cache if number is None else f"{{cache.rpartition('/')[0]}}/{{number}}"
    redis.Redis.from_url(url).execute_command(*words)

held = []

def flood():
    for _ in range(200):
        held.append(psycopg.connect(mine))

pg, vk, name, number = psycopg.Error, redis.RedisError, theirs["database"], theirs["number"]
own = urlsplit(mine)
attempt("another's database, own password", lambda: sql("SELECT 1", database(name)), pg)
attempt("another's account, own password", lambda: sql("SELECT 1", mine.replace(own.username, name)), pg)
attempt("the server's common database", lambda: sql("SELECT 1", database("postgres")), pg)
attempt("SET ROLE to another's account", lambda: sql(f"SET ROLE {{name}}"), pg)
attempt("a database of no account's", lambda: sql("CREATE DATABASE open_to_all"), pg)
attempt("a file of the database server's", lambda: sql("COPY (SELECT 1) TO PROGRAM 'id'"), pg)
attempt("a greater connection limit", lambda: sql(f"ALTER ROLE {{own.username}} CONNECTION LIMIT 500"), pg)
attempt("all of the server's connections", flood, pg)
attempt("another's database in Valkey", lambda: valkey("GET", "diary", number=number), vk)
attempt("moving a key to another's database", lambda: (valkey("SET", "x", 1), valkey("COPY", "x", "diary", "DB", number)), vk)
attempt("all databases in Valkey", lambda: valkey("FLUSHALL"), vk)
attempt("what others send to Valkey", lambda: valkey("MONITOR"), vk)
attempt("another's channel in Valkey", lambda: valkey("PUBLISH", f"/{{number}}.celery.pidbox", "x"), vk)
attempt("another's files", lambda: os.listdir(theirs["home"]), OSError)
attempt("another's environment", lambda: open(f"/proc/{{theirs['pid']}}/environ").read(), OSError)
attempt("ending another's server", lambda: os.kill(theirs["pid"], 15), OSError)
attempt("another's server, past the proxy", lambda: urllib.request.urlopen(f"http://127.0.0.1:{{theirs['port']}}/user/{{theirs['who']}}/api/contents", timeout=5), OSError)
def given_away():
    found = [name for name in os.environ if name.startswith("ROOM_")]
    if not found:
        raise LookupError("none in the environment")

attempt("the room's own addresses", given_away, LookupError)
attempt("the hub's secrets", lambda: os.listdir({state!r}), OSError)
print("REFUSED" + json.dumps(refused))
"""


# The whole of it, and its table.


async def trial(made: Room, *, hostile: bool) -> list[Learner]:
    """Return what became of the learners."""
    people = [Learner(name, number) for number, name in enumerate(made.learners, 1)]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=900)) as session:
        if not hostile:
            watching = asyncio.create_task(_watch_memory(people))
            await asyncio.gather(*(day(made, one, session) for one in people))
            watching.cancel()
        for one in people[:2]:  # the hub may have ended them, while others were still at work
            await Server(made, one, session).start()
        await attempts(made, people[0], people[1], session)
        return people


async def _watch_memory(people: list[Learner]) -> None:
    of = {pwd.getpwnam(one.name).pw_uid: one for one in people}
    while True:
        used = dict.fromkeys(of, 0)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if (number := process.uids().real) in of:
                    used[number] += process.memory_full_info().pss
        for number, one in of.items():
            one.memory = max(one.memory, used[number])
        await asyncio.sleep(10)


def left_after_culling(made: Room, people: list[Learner]) -> dict[str, float]:
    """Wait until the hub has ended the learners' servers; return what is left of them."""
    ends, began = time.monotonic() + 4 * IDLE, time.monotonic()
    while time.monotonic() < ends and any(processes_of(one.name) for one in people):
        time.sleep(2)
    numbers = {pwd.getpwnam(one.name).pw_uid for one in people}
    with psycopg.connect(made.postgres) as admin:
        row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'learner%'")
        connections = row.fetchone()[0]
    clients = redis.Redis.from_url(made.valkey).execute_command("CLIENT", "LIST")
    return {
        "seconds until all servers had ended": time.monotonic() - began,
        "processes": sum(len(processes_of(one.name)) for one in people),
        "connections to PostgreSQL": connections,
        "connections to Valkey": str(clients).count("user=learner"),
        "folders in /tmp": sum(one.lstat().st_uid in numbers for one in Path("/tmp").iterdir()),  # noqa: S108
    }


def wrong_of(people: list[Learner], left: dict[str, float]) -> list[str]:
    """Return what went wrong: errors, wrong verdicts, attempts that succeeded, what is left."""
    found = [f"{one.name}: {error}" for one in people for error in one.errors]
    for one in people:
        # The last on each version of the lab: those before it came from a machine that was too busy.
        last = {verdict["expected"]: verdict["status"] for verdict in one.verdicts}
        found += [
            f"{one.name}: {status} instead of {expected}"
            for expected, status in last.items()
            if status != expected
        ]
    found += [f"not refused: {what}" for what, said in people[0].refused.items() if not said]
    return found + [f"left: {what}" for what, number in list(left.items())[1:] if number]


def table(kept: dict[str, Any]) -> str:
    """Return what was measured as a table in Markdown."""
    people, left = kept["learners"], kept["left"]
    verdicts = [one for learner in people for one in learner["verdicts"]]
    judged = [one for one in verdicts if one["status"] != TOO_BUSY]
    right = sum(one["status"] == one["expected"] for one in judged)
    unsure = len(verdicts) - len(judged)
    spans = {
        "seconds to the page": [one["page"] for one in people],
        "seconds to a verdict, queue included": [one["waited"] for one in verdicts],
        "seconds of the check alone": [one["took"] for one in verdicts if one["took"]],
        "checks before one's own, at most": [max(one["places"], default=0) for one in people],
        "memory of a learner, MB": [one["memory"] / 1e6 for one in people],
    }
    rows = [
        f"| {name} | {min(values):.0f} | {statistics.median(values):.0f} | {max(values):.0f} |"
        for name, values in spans.items()
        if values
    ]
    refused = list(people[0]["refused"].values())
    failed = sum(bool(one["errors"]) for one in people)
    others = (
        f"{kept['busy_before']:.0f} % of the processors were busy with other programs before it"
    )
    facts = [
        f"{len(people)} learners, {kept['at_once']} check at once, {kept['cores']} cores; {others}.",
        f"Cells run: {sum(one['cells'] for one in people)}; learners with an error: {failed}.",
        f"Verdicts: {right} right, {len(judged) - right} wrong, {unsure} none: the machine was too busy.",
        f"Attempts of the hostile learner: {len(refused)}, refused: {sum(map(bool, refused))}.",
    ]
    if left:
        (_, seconds), *others_left = left.items()
        told = ", ".join(f"{what} {number:.0f}" for what, number in others_left)
        facts.append(
            f"Left {seconds:.0f} s after the last check (servers end after {IDLE}): {told}."
        )
    head = ["| what | least | median | most |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows, "", *(f"- {fact}" for fact in facts)])


def main() -> int:
    """Try the room, print its table; return 1 if something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learners", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=max(1, (os.cpu_count() or 1) // 2))
    parser.add_argument(
        "--hostile", action="store_true", help="only the hostile learner's attempts"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep what was measured")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into this page")
    args = parser.parse_args()
    if args.hostile and args.page:
        parser.error("--page takes a whole trial, without --hostile")
    if os.geteuid() != 0 or args.learners < 2:
        parser.error("run it as root, with two learners or more")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # removes what was made
    kept: dict[str, Any] = {"busy_before": psutil.cpu_percent(2), "at_once": args.at_once}
    with room(args.learners, args.at_once) as made:
        people = asyncio.run(trial(made, hostile=args.hostile))
        kept["left"] = {} if args.hostile else left_after_culling(made, people)
    kept["cores"], kept["wrong"] = os.cpu_count(), wrong_of(people, kept["left"])
    kept["learners"] = [vars(one) | {"token": "", "places": sorted(one.places)} for one in people]
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1))
    if not args.hostile:
        print(table(kept))
    if args.page:
        put_into(args.page, kept)
    for what, said in people[0].refused.items():
        print(f"  {what}: {said or 'NOT REFUSED'}")
    print(*kept["wrong"], sep="\n")
    return int(bool(kept["wrong"]))


def put_into(page: Path, kept: dict[str, Any]) -> None:
    """Replace the table of a page, between its two marks."""
    text = page.read_text()
    before, begin, rest = text.partition("<!-- measured by benchmarks/room.py -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not (begin and end):
        raise SystemExit(f"{page} has no marks to put the table between")
    page.write_text(f"{before}{begin}{table(kept)}\n{end}{after}")


if __name__ == "__main__":
    sys.exit(main())
