"""Lab 03: the webhook that answers, and forgets.

`Receiver` takes delivery statuses from a messaging provider. Flask calls it on the threads of a WSGI
server; `record` is asynchronous, because everything else of ours is. It answers fast. After every
deploy some updates are missing, and under load PostgreSQL runs out of connections. Mend that.

What must be true when you are done:

1. `POST /status` with a body that `genuine` confirms is answered 204 once the update is stored, by
   `await record(database, update)`, and not before. One that comes twice counts once.
2. Anything else is answered 401, and nothing of it is stored.
3. An update that is not stored within `timeout` seconds is answered 503, and nobody goes on with it:
   the provider comes again. However many of these come, nothing piles up.
4. No event loop, pool, connection or thread is made for a single webhook. There are at most `size`
   connections; they are kept, and while webhooks wait to be stored all of them are at it.
5. When `close()` is called at SIGTERM, on a thread of its own, the webhooks under way are still
   stored and answered 204; a later one may get 503. When it returns, every connection is closed.

These names and signatures stay: `Receiver` with `app` and `close`, and `record`. The rest is yours
to change. `record` takes a connection of asyncpg or a pool.

How it is judged: `loopclinic check 03`, or `loopclinic watch 03` for a verdict on every save.
The check serves `Receiver(...).app` with waitress, eight threads, in a process of its own, and asks
PostgreSQL what it has. It counts event loops, new connections and threads (0.25 a webhook at most, of
each), holds the rows of all messages, where more than half of `size` connections must be at it, waits
2 times `timeout` for the answers, and counts the tasks and threads that are left behind them (half of
these webhooks at most). Then it sends SIGTERM in the middle of its load; `close()` gets 3 s, and the
process ends when all is answered, whatever else still runs in it.
"""

import asyncio
import hashlib
import hmac
import json
import threading
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


class Receiver:
    """Takes webhooks signed with `secret`, with `size` connections to the database at `dsn` at most."""

    def __init__(self, dsn: str, secret: bytes, *, size: int = 4, timeout: float = 2.0) -> None:
        self.dsn = dsn
        self.secret = secret
        self.size = size
        self.timeout = timeout
        self.app = Flask(__name__)
        self.app.add_url_rule("/status", view_func=self._status, methods=["POST"])

    def _status(self) -> tuple[str, int]:
        """Answer one webhook."""
        body = request.get_data()
        if not genuine(self.secret, body, request.headers.get("X-Signature", "")):
            return "not signed by the provider", 401
        update = json.loads(body)
        threading.Thread(target=self._store, args=[update], daemon=True).start()
        return "", 204

    def _store(self, update: dict[str, Any]) -> None:
        """Store an update; a thread has no event loop, so it gets one."""
        loop = asyncio.new_event_loop()
        loop.run_until_complete(self._work(update))
        loop.close()

    async def _work(self, update: dict[str, Any]) -> None:
        """Store an update; a pool belongs to its loop, so there is one of these, too."""
        async with asyncpg.create_pool(self.dsn, min_size=1, max_size=self.size) as pool:
            await record(pool, update)

    def close(self) -> None:
        """Called at SIGTERM."""
