"""Lab 03, solved: one event loop for the whole process, on a thread of its own, with one pool.

The threads of the WSGI server hand their work over the bridge and wait for it, so an answer means what
it says, and no more is under way than there are threads. The deadline lies inside of the work, where
it cancels what it gives up on. At SIGTERM the bridge lets nobody on, waits for those who are on it,
and takes down the pool before the loop.
"""

import asyncio
import hashlib
import hmac
import json
import threading
from concurrent.futures import Future, wait
from typing import Any

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


async def record(database: Any, update: dict[str, Any]) -> None:
    """Store an update; one that is stored already stays as it is."""
    await database.execute(RECORD, update["id"], update["message"], update["status"])


def genuine(secret: bytes, body: bytes, signature: str) -> bool:
    """Return whether the provider signed this body."""
    wanted = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.encode())


class BridgeClosedError(Exception):
    """The process is about to end: nothing new is taken on."""


class Bridge:
    """An event loop on a thread of its own, with a pool, for all threads of the process."""

    def __init__(self, dsn: str, size: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="bridge", daemon=True)
        self.thread.start()
        self.lock = threading.Lock()
        self.closed = False
        self.under_way: set[Future[None]] = set()
        self.pool = self._submit(self._open(dsn, size)).result()

    async def _open(self, dsn: str, size: int) -> Any:
        return await asyncpg.create_pool(dsn, min_size=1, max_size=size)

    def _submit(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def store(self, update: dict[str, Any], timeout: float) -> None:
        """Store an update, from any thread but the loop's own.

        Raises:
            TimeoutError: it took longer than `timeout` seconds, and was given up.
            BridgeClosedError: `close` was called.
        """
        with self.lock:
            if self.closed:
                raise BridgeClosedError
            future = self._submit(self._store(update, timeout))
            self.under_way.add(future)
        future.add_done_callback(self.under_way.discard)
        # The deadline inside ends it before this one does, unless PostgreSQL misses the cancel: one
        # that arrives ahead of its query does nothing.
        future.result(1.5 * timeout)

    async def _store(self, update: dict[str, Any], seconds: float) -> None:
        # The wait for a connection counts as well. At its end the query is cancelled at PostgreSQL.
        async with asyncio.timeout(seconds):
            await record(self.pool, update)

    def close(self) -> None:
        """Let what is under way come to its end, then take down pool and loop."""
        with self.lock:
            self.closed = True
        wait(tuple(self.under_way))
        self._submit(self.pool.close()).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Receiver:
    """Receives webhooks signed with `secret`, with at most `size` connections to the database at `dsn`."""

    def __init__(self, dsn: str, secret: bytes, *, size: int = 4, timeout: float = 2.0) -> None:
        self.secret = secret
        self.timeout = timeout
        self.bridge = Bridge(dsn, size)
        self.app = Flask(__name__)
        self.app.add_url_rule("/status", view_func=self._status, methods=["POST"])

    def _status(self) -> tuple[str, int]:
        """Answer one webhook."""
        body = request.get_data()
        if not genuine(self.secret, body, request.headers.get("X-Signature", "")):
            return "not signed by the provider", 401
        try:
            self.bridge.store(json.loads(body), self.timeout)
        except (TimeoutError, BridgeClosedError):
            return "come again", 503
        return "", 204

    def close(self) -> None:
        """Close the receiver; the server calls this at SIGTERM."""
        self.bridge.close()
