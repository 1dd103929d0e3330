import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg2.extensions import connection
from psycopg2.pool import ThreadedConnectionPool

_pool = ThreadedConnectionPool(1, 10, os.environ["AUDIT_DSN"])


@asynccontextmanager
async def get_connection() -> AsyncIterator[connection]:
    conn = _pool.getconn()  # expect: blocking-db
    try:
        yield conn
        conn.commit()  # expect: blocking-db
    finally:
        await asyncio.to_thread(_pool.putconn, conn)  # clean: handed to a thread
