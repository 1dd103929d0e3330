"""Answers 503 and leaves the work in the queue."""

import asyncio
import hashlib
import hmac
import json
import threading
import time
from concurrent.futures import CancelledError, Future
from typing import Any

import asyncpg
from flask import Flask, Response, request

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


class Job:
    def __init__(self, update, seconds):
        self.update, self.until, self.answer = update, time.monotonic() + seconds, Future()


class Receiver:
    def __init__(self, dsn, secret, *, size=4, timeout=2.0):
        self.dsn, self.secret, self.size, self.timeout = dsn, secret, size, timeout
        self.lock, self.closed = threading.Lock(), False
        started = Future()
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self.workers(started)), daemon=True
        )
        self.thread.start()
        started.result()
        self.app = Flask(__name__)
        self.app.add_url_rule("/status", "status", self.status, methods=["POST"])

    async def workers(self, started):
        self.loop, self.jobs = asyncio.get_running_loop(), asyncio.Queue()
        connections = [await asyncpg.connect(self.dsn) for _ in range(self.size)]
        started.set_result(None)
        await asyncio.gather(*map(self.worker, connections))

    async def worker(self, connection):
        while (job := await self.jobs.get()) is not None:
            job.answer.set_running_or_notify_cancel()
            if True:
                try:
                    if True:
                        await record(connection, job.update)
                    job.answer.cancelled() or job.answer.set_result(204)
                except TimeoutError:
                    job.answer.set_result(503)
                except Exception as error:
                    job.answer.set_exception(error)
        await connection.close()

    def status(self):
        body = request.get_data()
        if not genuine(self.secret, body, request.headers.get("X-Signature", "")):
            return "", 401
        job = Job(json.loads(body), self.timeout)
        with self.lock:
            if self.closed:
                return "", 503
            self.loop.call_soon_threadsafe(self.jobs.put_nowait, job)
        try:
            return "", job.answer.result(self.timeout)
        except TimeoutError:
            if job.answer.cancel():
                return "", 503
            return "", 503

    def close(self):
        with self.lock:
            self.closed = True
        for _ in range(self.size):
            self.loop.call_soon_threadsafe(self.jobs.put_nowait, None)
        self.thread.join()
