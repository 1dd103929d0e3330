"""What runs in kernels while a hostile learner tries another's and the room's servers (see room_attempts.py)."""

import os
import urllib.request
from collections.abc import Callable  # noqa: TC003 - it runs in a kernel
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis

held: list[psycopg.Connection] = []
"""Connections that the hostile learner keeps."""


def diary(who: str) -> dict[str, Any]:
    """Write a line into each of one's databases; return what another learner may know of one's server."""
    mine, cache = os.environ["DATABASE_URL"], os.environ["REDIS_URL"]
    with psycopg.connect(mine) as connection:
        connection.execute("CREATE TABLE diary (line text)")
        connection.execute("INSERT INTO diary VALUES (%s)", (f"secret of {who}",))
    redis.Redis.from_url(cache).set("diary", f"secret of {who}")
    port = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
    found = {"who": who, "home": str(Path.home()), "pid": os.getppid(), "port": port}
    return {**found, "database": mine.rpartition("/")[2], "number": cache.rpartition("/")[2]}


def still_there() -> bool:
    """Return whether one's own lines can still be read."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as mine:
        lines = mine.execute("SELECT line FROM diary").fetchall()
    return bool(lines and redis.Redis.from_url(os.environ["REDIS_URL"]).get("diary"))


def attempts(theirs: dict[str, Any], state: str) -> dict[str, str]:
    """Try to reach what `diary` returned, and the hub's folder; return what each got, empty if it succeeded."""
    mine, cache = os.environ["DATABASE_URL"], os.environ["REDIS_URL"]
    own, name, number = urlsplit(mine).username or "", theirs["database"], theirs["number"]
    found = {}

    def sql(statement: str, url: str = mine) -> None:
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())

    def database(name: str) -> str:
        return f"{mine.rpartition('/')[0]}/{name}"

    def valkey(*words: Any, at: str = cache) -> None:
        redis.Redis.from_url(at).execute_command(*words)

    def flood() -> None:
        held.extend(psycopg.connect(mine) for _ in range(200))

    def move() -> None:
        valkey("SET", "x", 1)
        valkey("COPY", "x", "diary", "DB", number)

    def given_away() -> None:
        if not any(name.startswith("ROOM_") for name in os.environ):
            raise LookupError("none in the environment")

    inside = f"http://127.0.0.1:{theirs['port']}/user/{theirs['who']}/api/contents"
    there, environ = f"{cache.rpartition('/')[0]}/{number}", Path(f"/proc/{theirs['pid']}/environ")
    pg, vk, larger = psycopg.Error, redis.RedisError, f"ALTER ROLE {own} CONNECTION LIMIT 500"
    tried: list[tuple[str, Callable[[], Any], type[Exception]]] = [
        ("another's database, own password", lambda: sql("SELECT 1", database(name)), pg),
        ("another's account, own password", lambda: sql("SELECT 1", mine.replace(own, name)), pg),
        ("the server's common database", lambda: sql("SELECT 1", database("postgres")), pg),
        ("SET ROLE to another's account", lambda: sql(f"SET ROLE {name}"), pg),
        ("a database of no account's", lambda: sql("CREATE DATABASE open_to_all"), pg),
        ("a file of the database server's", lambda: sql("COPY (SELECT 1) TO PROGRAM 'id'"), pg),
        ("a greater connection limit", lambda: sql(larger), pg),
        ("all of the server's connections", flood, pg),
        ("another's database in Valkey", lambda: valkey("GET", "diary", at=there), vk),
        ("moving a key to another's database", move, vk),
        ("all databases in Valkey", lambda: valkey("FLUSHALL"), vk),
        ("what others send to Valkey", lambda: valkey("MONITOR"), vk),
        ("another's channel", lambda: valkey("PUBLISH", f"/{number}.celery.pidbox", "x"), vk),
        ("another's files", lambda: [*Path(theirs["home"]).iterdir()], OSError),
        ("another's environment", environ.read_bytes, OSError),
        ("ending another's server", lambda: os.kill(theirs["pid"], 15), OSError),
        ("another's server, past the proxy", lambda: urllib.request.urlopen(inside), OSError),
        ("the room's own addresses", given_away, LookupError),
        ("the hub's secrets", lambda: [*Path(state).iterdir()], OSError),
    ]
    for what, act, error in tried:
        try:
            act()
            found[what] = ""
        except error as refused:
            last = str(refused).strip().splitlines()[-1]
            found[what] = f"{type(refused).__name__}: {last}"[:160]
    return found
