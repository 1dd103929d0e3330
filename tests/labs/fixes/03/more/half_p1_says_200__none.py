"""Answers 200 instead of 204."""

import functools
import hashlib
import hmac
import json
import threading
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import anyio
import asyncpg
from anyio.from_thread import start_blocking_portal
from flask import Flask, abort, request

RECORD = """
    with fresh as (
        insert into updates (id, message_id, status) values ($1, $2, $3)
        on conflict (id) do nothing returning message_id, status
    )
    update messages set status = fresh.status, updates = updates + 1
    from fresh where messages.id = fresh.message_id
"""


async def record(database: Any, update: dict[str, Any]) -> None:
    """Store an update; one that is stored already stays as it is."""
    await database.execute(RECORD, update["id"], update["message"], update["status"])


def genuine(secret: bytes, body: bytes, signature: str) -> bool:
    """Return whether the provider signed this body."""
    wanted = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.encode())


def signed(secret):
    def decorate(view):
        @functools.wraps(view)
        def wrapper(*args):
            if not genuine(secret, request.get_data(), request.headers.get("X-Signature", "")):
                abort(401)
            return view(*args)

        return wrapper

    return decorate


class Receiver:
    def __init__(self, dsn, secret, *, size=4, timeout=2.0):
        self.stack = ExitStack()
        self.portal = self.stack.enter_context(start_blocking_portal())
        pool = asynccontextmanager(self.pools)
        self.pool = self.stack.enter_context(
            self.portal.wrap_async_context_manager(pool(dsn, size))
        )
        self.gate, self.closed, self.guests = threading.Condition(), False, 0
        self.timeout = timeout
        self.app = Flask(__name__)
        self.app.add_url_rule(
            "/status", view_func=signed(secret)(self.view), methods=["POST"], endpoint="status"
        )

    async def pools(self, dsn, size):
        async with asyncpg.create_pool(dsn, min_size=1, max_size=size) as pool:
            yield pool

    def view(self):
        with self.gate:
            if self.closed:
                abort(503)
            self.guests += 1
        try:
            self.portal.call(self.work, json.loads(request.get_data()))
        except TimeoutError:
            abort(503)
        finally:
            with self.gate:
                self.guests -= 1
                self.gate.notify_all()
        return "", 200

    async def work(self, update):
        with anyio.fail_after(self.timeout):
            await record(self.pool, update)

    def close(self):
        with self.gate:
            self.closed = True
            self.gate.wait_for(lambda: self.guests == 0)
        self.stack.close()
