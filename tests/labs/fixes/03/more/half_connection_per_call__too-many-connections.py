"""One loop, and a connection for each webhook."""

import asyncio
import hashlib
import hmac
import json
import threading

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
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.pool = self.call(self.open()).result()

    async def open(self):
        return await asyncpg.create_pool(self.dsn, min_size=1, max_size=self.size)

    def call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    async def store(self, update):
        async with asyncio.timeout(self.timeout):
            connection = await asyncpg.connect(self.dsn)
            try:
                await record(connection, update)
            finally:
                connection.terminate()

    def status(self):
        body = request.get_data()
        if not genuine(self.secret, body, request.headers.get("X-Signature", "")):
            return "not signed", 401
        update = json.loads(body)
        try:
            self.call(self.store(update)).result()
        except TimeoutError:
            return "come again", 503
        return "", 204

    def close(self):
        async def end():
            while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(tasks)
            await self.pool.close()

        self.call(end()).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
