"""What any hub of a room needs: learners' accounts on its PostgreSQL and Valkey, and the queue for checks.

ROOM_DATABASE_URL and ROOM_REDIS_URL are the administrator's addresses, ROOM_SECRET what passwords are made
from. Only the hub has them; a learner's server gets DATABASE_URL and REDIS_URL, of a database that is closed
to all others. A variable that is missing leaves that server out, and lessons start one of their own.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CONNECTIONS = 40
"""Connections to PostgreSQL that a learner may have."""
RESERVED = 10
"""Those kept for the administrator and the hub."""
_VALKEY_RULES = [
    *("reset", "on", "~*", "resetchannels", "+@all", "-@admin", "-@dangerous"),
    *("+info", "-function", "-script|flush", "-script|kill"),
]
_QUEUE, _ROOM = "access:services!service=checks", "access:services!service=room"


def configure(
    c: Any, *, queue: str, at_once: int, address: str = "", room: str = "", python: str = ""
) -> None:
    """Add to a hub's configuration: accounts for each server, a limit of servers, queue and room as services.

    `queue` is where learners' servers reach the queue, as in http://127.0.0.1:8003; it listens at `address`,
    if given, and lets `at_once` checks run. `room` is likewise where they reach the live room, which `python`
    runs, one that has the kit; without it there is none. `c` has lists of services and roles already.
    """
    c.JupyterHub.active_server_limit = most_learners()
    script = str(Path(__file__).with_name("check_queue.py"))
    command = [sys.executable, script, f"--at-once={at_once}"]
    command += [f"--address={address}"] if address else []
    c.JupyterHub.services.append({"name": "checks", "url": queue, "command": command})
    opens = [_QUEUE]
    if room:
        opens.append(_ROOM)
        where = urlsplit(room)
        command = [python, "-m", "loopclinic", "room"]
        command += [f"--host={where.hostname}", f"--port={where.port}"]
        facilitators = {"ROOM_ADMINS": " ".join(c.Authenticator.admin_users)}
        live = {"name": "room", "url": room, "command": command, "environment": facilitators}
        c.JupyterHub.services.append({**live, "user": "nobody", "cwd": "/"})
    # A learner's token, in JUPYTERHUB_API_TOKEN, also opens both.
    c.JupyterHub.load_roles.append({"name": "user", "scopes": ["self", *opens]})
    c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!server", *opens]
    one_at_a_time = asyncio.Lock()

    async def prepare(spawner: Any) -> None:
        async with one_at_a_time:
            made = await asyncio.to_thread(environment, spawner.user.name, spawner.user.id)
        made["LOOPCLINIC_QUEUE"] = f"{queue}/services/checks/"
        if room:
            made["LOOPCLINIC_ROOM"] = f"{room}/services/room"
        spawner.environment = {**spawner.environment, **made}

    c.Spawner.pre_spawn_hook = prepare


def account(learner: str) -> str:
    """Return the name of a learner's account and database: readable, unique, at most 63 characters."""
    readable = re.sub(r"[^a-z0-9]+", "_", learner.lower()).strip("_")[:32]
    return f"learner_{readable}_{hashlib.sha256(learner.encode()).hexdigest()[:10]}"


def password(learner: str) -> str:
    """Return a learner's password: the same at each start, and known only with ROOM_SECRET."""
    secret = os.environ.get("ROOM_SECRET", "")
    if len(secret) < 32:
        raise RuntimeError(
            "Set ROOM_SECRET to 32 characters or more, as from: openssl rand -hex 32"
        )
    made = hmac.new(secret.encode(), learner.encode(), "sha256").digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def most_learners() -> int:
    """Return how many learners PostgreSQL has connections for; 0 if there is no room's PostgreSQL."""
    if not (url := os.environ.get("ROOM_DATABASE_URL")):
        return 0
    import psycopg

    with psycopg.connect(url, connect_timeout=5) as admin:
        row = admin.execute("SHOW max_connections").fetchone()
    assert row is not None
    most = (int(row[0]) - RESERVED) // CONNECTIONS
    if most < 1:
        needed = CONNECTIONS + RESERVED
        raise RuntimeError(f"PostgreSQL has max_connections = {row[0]}: a learner needs {needed}.")
    return most


def environment(learner: str, number: int) -> dict[str, str]:
    """Make or repair a learner's accounts; return the variables that lead to them.

    `number` is the learner's own on this hub, from 1: that of the database in Valkey.
    """
    found = {}
    if url := os.environ.get("ROOM_DATABASE_URL"):
        found["DATABASE_URL"] = _postgres(url, learner)
    if url := os.environ.get("ROOM_REDIS_URL"):
        found["REDIS_URL"] = _valkey(url, learner, number)
    return found


def _postgres(url: str, learner: str) -> str:
    import psycopg
    from psycopg import sql

    name = account(learner)
    identifier, secret = sql.Identifier(name), sql.Literal(password(learner))
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as admin:
        known = admin.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
        # No CREATEDB: a new database would be open to all. The kit makes schemas in the learner's own.
        admin.execute(
            sql.SQL(
                "{} ROLE {} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION "
                "CONNECTION LIMIT {} PASSWORD {}"
            ).format(
                sql.SQL("CREATE" if known is None else "ALTER"),
                identifier,
                sql.Literal(CONNECTIONS),
                secret,
            )
        )
        # A row without columns is an empty tuple, and None is no row.
        found = admin.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if found is None:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(identifier))
        # Before the learner owns it, so that nobody else is ever let in.
        for statement in (
            "REVOKE ALL ON DATABASE {} FROM PUBLIC",
            "ALTER DATABASE {0} OWNER TO {0}",
        ):
            admin.execute(sql.SQL(statement).format(identifier))
        # Those that come with a server are open to every account otherwise.
        for common in ("postgres", "template1"):
            admin.execute(
                sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(common))
            )
    return _url("postgresql", url, learner, name)


def _valkey(url: str, learner: str, number: int) -> str:
    import redis

    name, rules = account(learner), [*_VALKEY_RULES, f">{password(learner)}"]
    with redis.Redis.from_url(url, socket_timeout=5) as admin:
        known = int(admin.config_get("databases")["databases"])
        if number >= known:
            raise RuntimeError(f"Valkey has {known} databases: learner {number} needs one more.")
        # Celery's channels carry the number of the database; a pattern that is subscribed to has to be one of
        # these, letter for letter. Valkey 9.1 is the first with `db=`.
        only = ["resetdbs", f"db={number}", f"&/{number}.*", f"&/{number}.celery.pidbox"]
        admin.execute_command("ACL", "SETUSER", name, *rules, *only)
    return _url("redis", url, learner, str(number))


def _url(scheme: str, admin: str, learner: str, database: str) -> str:
    parts = urlsplit(admin)
    where = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    return f"{scheme}://{account(learner)}:{password(learner)}@{where}/{database}"
