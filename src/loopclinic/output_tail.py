"""Reads what a process prints from its pipe as it comes, and keeps the last part."""

import contextlib
import os
import threading
from typing import IO


class Tail:
    """Reads a pipe to its end on a thread of its own; keeps the last `kept` bytes.

    Close the pipe where it was opened, once the process has ended and `join` has returned.
    """

    def __init__(self, stream: IO[bytes], *, name: str = "tail", kept: int = 16_384) -> None:
        self.size = 0
        """How many bytes there were so far."""
        self._kept = kept
        self._bytes = bytearray()
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._read, args=(stream.fileno(),), name=name, daemon=True
        )
        self._thread.start()

    @property
    def text(self) -> str:
        """What is kept."""
        with self._lock:
            return self._bytes.decode(errors="replace")

    def join(self, seconds: float) -> None:
        """Wait for the end of the pipe, for so many seconds at most."""
        self._thread.join(seconds)

    def _read(self, number: int) -> None:
        with contextlib.suppress(OSError):
            while chunk := os.read(number, 8192):
                with self._lock:
                    self.size += len(chunk)
                    self._bytes += chunk
                    del self._bytes[: -self._kept]
