"""Who did what. Written in the background by a thread, since nobody waits for it."""

import logging
import queue
import threading

from ..db.sync_pool import transaction

logger = logging.getLogger(__name__)

_Entry = tuple[str, str, str]


class AuditLog:
    def __init__(self, size: int = 1000) -> None:
        self._entries: "queue.Queue[_Entry | None]" = queue.Queue(maxsize=size)
        self._thread = threading.Thread(target=self._write, name="audit", daemon=True)
        self._thread.start()

    def _write(self) -> None:
        while (entry := self._entries.get()) is not None:
            try:
                with transaction() as connection:
                    connection.execute(
                        "insert into audit_entry (actor, action, subject) values (%s, %s, %s)", entry
                    )
            except Exception:
                logger.exception("not written: %s", entry)

    def add(self, actor: str, action: str, subject: str) -> None:
        # waits when the queue is full: an entry must not be lost
        self._entries.put((actor, action, subject))

    async def record(self, actor: str, action: str, subject: object) -> None:
        self.add(actor, action, str(subject))

    async def close(self) -> None:
        self._entries.put(None)
        self._thread.join(timeout=5)
