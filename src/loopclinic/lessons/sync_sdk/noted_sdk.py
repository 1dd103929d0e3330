"""MinIO's SDK with each call noted: on which thread it runs, and how many run at once."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minio import Minio

from loopclinic.lessons.core.stacks import stands_at
from loopclinic.servers.s3 import access

if TYPE_CHECKING:
    from loopclinic.lessons.core.shared_findings import Place

# Kept from before a lab is imported, which may replace them.
_sleep, _current = time.sleep, threading.current_thread

_CONNECTS = 0.1
"""Seconds that `connect` takes, as reading keys and certificates may."""
_DEFAULT = "default-executor"
"""How the stage names the threads of its default executor."""


class NotedSdk:
    """What a lab connects by."""

    def __init__(self, url: str) -> None:
        self.failures: dict[str, Exception] = {}
        """Raised by the next call of that name, once."""
        self.made: list[tuple[str, str]] = []
        """Name of each call, and of the object that it was for."""
        self.threads: set[threading.Thread] = set()
        self.on_loop: dict[str, Place | None] = {}
        """Calls on the main thread, each with a line of the lab."""
        self.raised: list[Exception] = []
        self.most = 0
        """So many calls were under way at once, at most."""
        self._under_way: set[threading.Thread] = set()
        self._url, self._lock = url, threading.Lock()

    @property
    def under_way(self) -> int:
        """Calls that have begun and not ended."""
        return len(self._under_way)

    @property
    def on_default(self) -> int:
        """Threads of the default executor that calls ran on."""
        return sum(one.name.startswith(_DEFAULT) for one in self.threads)

    def own_alive(self) -> int:
        """Return how many of the lab's own threads that calls ran on are alive."""
        own = self.threads - {threading.main_thread()}
        return sum(one.is_alive() and not one.name.startswith(_DEFAULT) for one in own)

    def times(self, name: str) -> int:
        """Return how many calls had this name."""
        return sum(name == one for one, _ in self.made)

    def connect(self) -> Minio:
        """Return a client whose calls are noted."""
        with self._noted("connect"):
            _sleep(_CONNECTS)
            client = Minio(**access(self._url))
        for name in dir(client):
            if not name.startswith("_") and callable(method := getattr(client, name)):
                setattr(client, name, self._noting(name, method))
        return client

    def _noting(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            with self._noted(name, str(options.get("object_name", [*given, "", ""][1]))):
                answer = method(*given, **options)
            if name == "get_object":
                answer.read = self._noting("read", answer.read)
            return answer

        return call

    @contextmanager
    def _noted(self, name: str, about: str = "") -> Iterator[None]:
        thread = _current()
        if thread in self._under_way:  # the SDK calls itself
            yield
            return
        with self._lock:
            self.made.append((name, about))
            self.threads.add(thread)
            self._under_way.add(thread)
            self.most = max(self.most, self.under_way)
        if thread is threading.main_thread():
            self.on_loop.setdefault(name, stands_at(sys._getframe()))  # noqa: SLF001 - documented
        try:
            if (failing := name.removeprefix("f")) in self.failures:  # fput_object is a put_object
                raise self.failures.pop(failing)  # noqa: TRY301 - as if the call had
            yield
        except Exception as error:
            self.raised.append(error)
            raise
        finally:
            self._under_way.discard(thread)
