"""Retries for the model vendors, which fail often."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)


def with_backoff(call: Callable[[], T], attempts: int = 4) -> T:
    for attempt in range(attempts):
        try:
            return call()
        except ConnectionError:
            if attempt == attempts - 1:
                raise
            delay = min(2**attempt + random.random(), 10)
            log.warning("attempt %d failed, waiting %.1f s", attempt + 1, delay)
            time.sleep(delay)
    raise AssertionError("unreachable")
