"""As many threads as connections, each with one loop and one connection for good."""

import asyncio
import hashlib
import hmac
import json
import threading
import queue
import time
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
        self.jobs = queue.SimpleQueue()
        self.threads = [threading.Thread(target=self.serve, daemon=True) for _ in range(size)]
        for thread in self.threads:
            thread.start()

    def serve(self):
        with asyncio.Runner() as runner:
            connection = runner.run(asyncpg.connect(self.dsn))
            while (job := self.jobs.get()) is not None:
                update, due, future = job
                try:
                    runner.run(self.store(connection, update, due))
                except Exception as error:
                    future.set_exception(error)
                else:
                    future.set_result(None)
            runner.run(connection.close())

    async def store(self, connection, update, due):
        async with asyncio.timeout(due - time.monotonic()):
            await record(connection, update)

    def status(self):
        body = request.get_data()
        if not genuine(self.secret, body, request.headers.get("X-Signature", "")):
            return "not signed", 401
        update = json.loads(body)
        if self.over:
            return "come again", 503
        future = Future()
        self.jobs.put((update, time.monotonic() + self.timeout, future))
        try:
            future.result()
        except TimeoutError:
            return "come again", 503
        return "", 204

    def close(self):
        self.over = True
        for _ in self.threads:
            self.jobs.put(None)
        for thread in self.threads:
            thread.join()
