"""Deletes what nobody needs any more."""

import logging
from datetime import timedelta

from ..cache import get_redis
from ..db.sync_pool import get_sync_pool
from .celery_app import app

logger = logging.getLogger(__name__)

KEEP = timedelta(days=400


@app.task(name="cleanup.audit")
def audit() -> int:
    with get_sync_pool().connection() as connection:
        return connection.execute("delete from audit_entry where at < now() - %s", (KEEP,)).rowcount


@app.task(name="cleanup.sessions")
def sessions() -> int:
    client = get_redis()
    stale = [key for key in client.scan_iter("session:*") if client.ttl(key) < 0]
    return client.delete(*stale) if stale else 0
