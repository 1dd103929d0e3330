"""`size` workers of one asyncio.run, fed by a queue; the request waits for its own future."""

import asyncio
import hashlib
import hmac
import json
import threading
from concurrent.futures import Future


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
        self.over = False
        ready = Future()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main(ready)), daemon=True)
        self.thread.start()
        ready.result()

    async def main(self, ready):
        self.loop, self.queue = asyncio.get_running_loop(), asyncio.Queue()
        async with asyncpg.create_pool(self.dsn, min_size=1, max_size=self.size) as pool:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.size):
                    group.create_task(self.work(pool))
                ready.set_result(None)

    async def work(self, pool):
        while (job := await self.queue.get()) is not None:
            update, due, future = job
            try:
                if self.loop.time() > due:  # a query that is cancelled at its start may go on
                    raise TimeoutError
                async with asyncio.timeout_at(due):
                    await record(pool, update)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(None)

    def status(self):
        body = request.get_data()
        if not genuine(self.secret, body, request.headers.get("X-Signature", "")):
            return "not signed", 401
        update = json.loads(body)
        if self.over:
            return "come again", 503
        future = Future()
        job = (update, self.loop.time() + self.timeout, future)
        self.loop.call_soon_threadsafe(self.queue.put_nowait, job)
        try:
            future.result(1.5 * self.timeout)
        except TimeoutError:
            return "come again", 503
        return "", 204

    def close(self):
        self.over = True
        for _ in range(self.size):
            self.loop.call_soon_threadsafe(self.queue.put_nowait, None)
        self.thread.join()
