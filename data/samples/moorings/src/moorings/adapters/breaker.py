"""A circuit breaker, after the one in the wiki."""

import functools
import threading
import time
from typing import Any, Callable


class CircuitOpen(Exception):
    pass


class CircuitBreaker:
    def __init__(self, failures: int = 5, seconds: float = 60.0) -> None:
        self.limit = failures
        self.seconds = seconds
        self._failures = 0
        self._opened: float | None = None
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        return self._opened is not None and time.monotonic() - self._opened < self.seconds

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.is_open:
            raise CircuitOpen(func.__qualname__)
        try:
            result = func(*args, **kwargs)
        except Exception:
            self._failed()
            raise
        with self._lock:
            self._failures = 0
            self._opened = None
        return result

    def _failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= self.limit:
                self._opened = time.monotonic()

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            return self.call(func, *args, **kwargs)

        return guarded
