from __future__ import annotations

import abc


class Storage(abc.ABC):
    """Where documents are kept. `put` is a template: subclasses say how bytes are written."""

    prefix = ""

    def put(self, name: str, body: bytes) -> str:
        key = self.key(name)
        self._write(key, body)
        return key

    def key(self, name: str) -> str:
        return f"{self.prefix}{name}".lower()

    @abc.abstractmethod
    def _write(self, key: str, body: bytes) -> None: ...

    @property
    def size(self) -> int:
        return 0
