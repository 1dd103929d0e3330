"""Test webhooks: random and forged ones, a client that delivers them, and a query of what was stored.

A batch of them, its messages and the schema lie in `data/flask_bridge`, where a learner finds them.
"""

import asyncio
import csv
import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from time import perf_counter
from typing import Any, Self

import aiohttp
import psycopg

from loopclinic.lessons.database.sessions import SessionMonitor
from loopclinic.paths import kit_data

PATH = "/status"
SIGNATURE = "X-Signature"
"""The header with the signature."""
DEMO_SECRET = b"provider-demo-secret"
"""What `data/flask_bridge/batch.jsonl` is signed with."""
LOST = 0
"""Status of a delivery without an answer: the connection was lost or refused."""
UNANSWERED = -1
"""Status of a delivery that got no answer in time."""
_MISCOUNTED = """
    select count(*) from messages where updates <>
    (select count(*) from updates where message_id = messages.id)
"""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request of the provider's: a body and its signature, and what is known of the two."""

    body: bytes
    signature: str
    kind: str = "genuine"
    """`genuine`, `redelivered`, or how it was forged."""

    @property
    def id(self) -> str:
        """The update's own name; a redelivery has the same."""
        return str(self.update["id"])

    @property
    def update(self) -> dict[str, Any]:
        """What the body says."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def honest(self) -> bool:
        """Whether it must be taken."""
        return self.kind in ("genuine", "redelivered")


def sign(secret: bytes, body: bytes) -> str:
    """Return the signature of a body: `sha256=` and its HMAC in hexadecimal digits."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def genuine(secret: bytes, body: bytes, signature: str) -> bool:
    """Return whether the provider signed this body."""
    return hmac.compare_digest(sign(secret, body).encode(), signature.encode())


def draw(rng: Random, count: int, *, secret: bytes, label: str) -> list[Webhook]:
    """Draw genuine webhooks; `label` keeps their ids apart from those of other draws."""
    genuine = [json.loads(one.body) for one in batch() if one.kind == "genuine"]
    # One message after another, so that those under way at once don't wait for each other's row.
    messages = sorted({one["message"] for one in genuine})
    first = rng.randrange(len(messages))
    found = []
    for number in range(count):
        update = {
            "id": f"{label}-{rng.randrange(16**6):06x}-{number}",
            "message": messages[(first + number) % len(messages)],
            "status": rng.choice(genuine)["status"],
        }
        body = json.dumps(update, separators=(",", ":")).encode()
        found.append(Webhook(body, sign(secret, body)))
    return found


def forge(rng: Random, secret: bytes, *, label: str) -> list[Webhook]:
    """Draw one webhook of each forged kind."""
    honest = draw(rng, 5, secret=secret, label=label)
    altered = honest[0].body.replace(b'"status":"', b'"status": "')
    return [
        Webhook(altered, honest[0].signature, "altered"),
        Webhook(honest[1].body, "", "unsigned"),
        Webhook(honest[2].body, sign(b"guess", honest[2].body), "other secret"),
        Webhook(honest[3].body, honest[3].signature[:-2], "cut off"),
        Webhook(honest[4].body, "sha256=", "empty"),
    ]


@cache
def batch() -> tuple[Webhook, ...]:
    """Return the webhooks of `data/flask_bridge/batch.jsonl`, signed with `DEMO_SECRET`."""
    lines = (kit_data("flask_bridge") / "batch.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return tuple(Webhook(row["body"].encode(), row["signature"], row["kind"]) for row in rows)


def lay_out(dsn: str) -> None:
    """Make the tables in the empty database at `dsn`, and enter the messages.

    Raises:
        KitNotFoundError: the kit's `data/` folder is nowhere to be found.
        psycopg.Error: the database can't be reached or is not empty.
    """
    with (kit_data("flask_bridge") / "messages.csv").open(encoding="utf-8", newline="") as file:
        messages = [(row["id"], row["recipient"]) for row in csv.DictReader(file)]
    with psycopg.connect(dsn, connect_timeout=10) as connection, connection.cursor() as cursor:
        cursor.execute((kit_data("flask_bridge") / "schema.sql").read_bytes())
        cursor.executemany("insert into messages (id, recipient) values (%s, %s)", messages)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt: which webhook, what was answered (`status`), after how many seconds."""

    webhook: Webhook
    status: int
    seconds: float


class Provider:
    """Delivers webhooks to `url`: `async with Provider(url) as provider`."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        self._url = url
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._url,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def connect(self, connections: int) -> None:
        """Open so many connections ahead: waitress closes one with each 204, and takes none after SIGTERM."""

        async def ask() -> None:
            with suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(self._timeout), self._session.get(PATH) as answer:
                    await answer.read()

        await asyncio.gather(*(ask() for _ in range(connections)))

    async def health(self) -> float:
        """Ask the receiver whether it is alive; return the seconds that took."""
        began = perf_counter()
        async with self._session.get("/health") as answer:
            await answer.read()
        return perf_counter() - began

    async def one(self, webhook: Webhook) -> Delivery:
        """Deliver one webhook once and return how that ended; raises nothing for the receiver's errors."""
        began = perf_counter()
        headers = {SIGNATURE: webhook.signature} if webhook.signature else {}
        headers["Content-Type"] = "application/json"
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._session.post(PATH, data=webhook.body, headers=headers) as answer,
            ):
                await answer.read()
                status = answer.status
        except TimeoutError:
            status = UNANSWERED
        except (aiohttp.ClientError, OSError):
            status = LOST
        return Delivery(webhook, status, perf_counter() - began)

    async def paced(self, webhooks: Sequence[Webhook], rate: float) -> list[Delivery]:
        """Deliver so many a second, whether or not earlier ones were answered.

        Seconds count from when a webhook was due.
        """
        began = perf_counter()

        async def send(number: int, webhook: Webhook) -> Delivery:
            due = began + number / rate
            await asyncio.sleep(due - perf_counter())
            found = await self.one(webhook)
            return replace(found, seconds=perf_counter() - due)

        return await asyncio.gather(*(send(*one) for one in enumerate(webhooks)))

    async def many(
        self, webhooks: Iterable[Webhook], *, at_once: int, again: int = 0
    ) -> list[Delivery]:
        """Deliver these, so many at once, each up to `again` times more after a 503."""
        left = iter(list(webhooks))
        found: list[Delivery] = []

        async def work() -> None:
            for webhook in left:
                for _ in range(1 + again):
                    delivery = await self.one(webhook)
                    found.append(delivery)
                    if delivery.status != 503:
                        break

        await asyncio.gather(*(work() for _ in range(at_once)))
        return found


class Ledger(SessionMonitor):
    """Looks at the tables and sessions of the database at `dsn`, and holds its rows."""

    def __init__(self, dsn: str, *, unnamed: bool = False) -> None:
        super().__init__(dsn, "ledger", unnamed=unnamed)

    def stored(self, ids: Iterable[str]) -> set[str]:
        """Return which of these updates are stored."""
        rows = self.rows("select id from updates where id = any(%s)", list(ids))
        return {row[0] for row in rows}

    def labelled(self, label: str) -> int:
        """Return how many updates are stored whose id begins with this label."""
        return int(self.rows("select count(*) from updates where starts_with(id, %s)", label)[0][0])

    def miscounted(self) -> int:
        """Return how many messages have another number of updates than is counted at them."""
        return int(self.rows(_MISCOUNTED)[0][0])

    def statistics(self) -> tuple[int, int]:
        """Return how many sessions this database had, and how many their client abandoned.

        Raises:
            psycopg.Error: the server is older than 14, and does not count them.
        """
        total, cut = self.rows(
            "select sessions, sessions_abandoned from pg_stat_database"
            " where datname = current_database()"
        )[0]
        return int(total), int(cut)

    def clear(self) -> None:
        """Forget every update."""
        self.rows("truncate updates")
        self.rows("update messages set updates = 0, status = 'queued'")

    def hold(self) -> AbstractContextManager[None]:
        """Hold every message's row: the database stands still for whoever wants to write there."""
        return self.holding("select 1 from messages for no key update")

    def migrating(self) -> AbstractContextManager[None]:
        """Hold the table of updates as `alter table` does: what is to be stored there is not even read."""
        return self.holding("lock table updates in access exclusive mode")
