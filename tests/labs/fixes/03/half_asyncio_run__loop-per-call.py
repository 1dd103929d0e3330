"""The request waits for its update now; each still has a loop and a pool of its own."""

import asyncio
import hashlib
import hmac
import json

import asyncpg
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

    def status(self):
        body = request.get_data()
        if not genuine(self.secret, body, request.headers.get("X-Signature", "")):
            return "not signed", 401
        update = json.loads(body)
        try:
            asyncio.run(self.store(update))
        except TimeoutError:
            return "come again", 503
        return "", 204

    async def store(self, update):
        async with asyncio.timeout(self.timeout):
            async with asyncpg.create_pool(self.dsn, min_size=1, max_size=self.size) as pool:
                await record(pool, update)

    def close(self):
        pass
