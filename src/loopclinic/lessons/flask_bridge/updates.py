"""Delivery statuses as a messaging provider sends them: signed webhooks, genuine and forged.

The batch, its messages and the schema lie in `data/flask_bridge`, where a learner finds them.
"""

import csv
import hashlib
import hmac
import json
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import psycopg

from loopclinic.places import kit_data

__all__ = [
    "DEMO_SECRET",
    "PATH",
    "SIGNATURE",
    "Webhook",
    "batch",
    "draw",
    "forge",
    "genuine",
    "lay_out",
    "sign",
]

PATH = "/status"
SIGNATURE = "X-Signature"
"""The header with the signature."""
DEMO_SECRET = b"provider-demo-secret"
"""What `data/flask_bridge/batch.jsonl` is signed with."""


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
