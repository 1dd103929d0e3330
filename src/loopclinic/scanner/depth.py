"""A recursion limit as high as what can be parsed is deep."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["deep"]

_LIMIT = 20_000


@contextmanager
def deep() -> Iterator[None]:
    """Allow deep recursion meanwhile: calls of Python by Python take no stack of C."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
