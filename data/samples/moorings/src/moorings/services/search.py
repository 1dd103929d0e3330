"""Finds bookings, vessels and customers by whatever the harbormaster types."""

import logging

from .. import db

logger = logging.getLogger(__name__)

LIMIT = 20


async def search(text: str) -> list[dict]:
    words = [f"%{word}%" for word in text.split()]
<<<<<<< HEAD
    rows = await db.fetch(
        "select id, name from vessel where name ilike any ($1) limit $2", words, LIMIT
    )
=======
    rows = await db.fetch("select id, name from vessel where name ilike any ($1)", words)
>>>>>>> feature/search-customers
    return [dict(row) for row in rows]


def normalize(text: str) -> str:
    return " ".join(text.casefold().split())
