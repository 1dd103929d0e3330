"""The bridge of a library: anyio's portal, opened once."""

import hashlib
import hmac
import json
import threading
from contextlib import ExitStack


import anyio
import asyncpg
from anyio.from_thread import start_blocking_portal
from flask import Flask, request

RECORD = """
    with fresh as (
        insert into updates (id, message_id, status) values ($1, $2, $3)
        on conflict (id) do nothing returning message_id, status
    )
    update messages set status = fresh.status, updates = updates + 1
    from fresh where messages.id = fresh.message_id
"""


async def record(database, update):
    await database.execute(RECORD, update["id"], update["message"], update["status"])


def genuine(secret, body, signature):
    wanted = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.encode())


class Receiver:
    def __init__(self, dsn, secret, *, size=4, timeout=2.0):
        self.dsn, self.secret, self.size, self.timeout = dsn, secret, size, timeout
        self.app = Flask(__name__)
        self.app.add_url_rule("/status", view_func=self.status, methods=["POST"])
        self.stack = ExitStack()
        self.portal = self.stack.enter_context(start_blocking_portal())
        self.pool = self.portal.call(self.open)
        self.gate, self.over, self.inside = threading.Condition(), False, 0

    async def open(self):
        return await asyncpg.create_pool(self.dsn, min_size=1, max_size=self.size)

    async def store(self, update):
        with anyio.fail_after(self.timeout):
            await record(self.pool, update)

    def status(self):
        body = request.get_data()
        if not genuine(self.secret, body, request.headers.get("X-Signature", "")):
            return "not signed", 401
        update = json.loads(body)
        with self.gate:
            if self.over:
                return "come again", 503
            self.inside += 1
        try:
            self.portal.call(self.store, update)
        except TimeoutError:
            return "come again", 503
        finally:
            with self.gate:
                self.inside -= 1
                self.gate.notify_all()
        return "", 204

    def close(self):
        with self.gate:
            self.over = True
            self.gate.wait_for(lambda: self.inside == 0)
        self.portal.call(self.pool.close)
        self.stack.close()
