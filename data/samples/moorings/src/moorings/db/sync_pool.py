"""The psycopg pool: the worker's, the scripts', and whatever was written before asyncpg came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from psycopg import Connection
from psycopg_pool import ConnectionPool

from ..config import get_settings


@lru_cache(maxsize=1)
def get_sync_pool() -> ConnectionPool:
    return ConnectionPool(get_settings().database_url, min_size=1, max_size=8, open=True)


@contextmanager
def transaction() -> Iterator[Connection]:
    with get_sync_pool().connection() as connection:
        with connection.transaction():
            yield connection
