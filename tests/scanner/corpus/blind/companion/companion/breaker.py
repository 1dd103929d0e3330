import time
from collections.abc import Callable
from typing import Any


class CircuitBreaker:
    """Opens after a few failures in a row."""

    def __init__(self, limit: int = 5, cooldown: float = 30.0) -> None:
        self.limit = limit
        self.cooldown = cooldown
        self.failures = 0
        self.opened_at = 0.0

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.failures >= self.limit and time.monotonic() - self.opened_at < self.cooldown:
            raise RuntimeError("circuit is open")
        try:
            result = func(*args, **kwargs)
        except Exception:
            self.failures += 1
            self.opened_at = time.monotonic()
            raise
        self.failures = 0
        return result
