"""Lab 03: the webhook that answers, and forgets.

`Receiver` takes delivery statuses from a messaging provider. Flask calls it on the threads of a WSGI
server; `record` is asynchronous, like the rest of our code. It answers fast. But after every deploy
some updates are missing, and under load PostgreSQL runs out of connections. Fix that.

What `Receiver` must do when you are done:

1. `POST /status` with a body that `genuine` confirms is answered 204 once the update is
   stored by `await record(database, update)`, not before. An update that arrives twice counts once.
2. Anything else is answered 401, and nothing of it is stored.
3. An update that is not stored within `timeout` seconds is answered 503, and work on it stops: the
   provider sends it again. However many of these arrive, nothing piles up.
4. No event loop, pool, connection or thread is created for a single webhook. There are at most `size`
   connections; they are reused, and all of them are used while webhooks wait to be stored.
5. At SIGTERM, `close()` is called on a separate thread: the webhooks in flight are still stored
   and answered 204. Later ones, even after it has returned, are either stored and answered 204 or
   answered 503. When it returns, every connection is closed.

Keep these names and signatures: `Receiver` with `app` and `close`, and `record`. The rest is yours
to change. `record` takes a connection of asyncpg or a pool.

How it is judged: `loopclinic check 03`, or `loopclinic watch 03` for a verdict on every save.
The check serves `Receiver(...).app` with waitress on eight threads in a separate process, and asks
PostgreSQL what it stored. It counts event loops, new connections and threads (at most one of each per
four webhooks). It locks the rows of all messages: then more than half of `size` connections must be at
work, all answers must come within twice `timeout`, and at most one task or thread per two of these
webhooks may be left behind. Then it sends SIGTERM under load, and more webhooks until 0.5 s after
`close()` returned, for which it has 3 s. The process ends once all are answered, whatever still runs.
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
    """Receives webhooks signed with `secret`, with at most `size` connections to the database at `dsn`."""

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
        """Close the receiver; the server calls this at SIGTERM."""
