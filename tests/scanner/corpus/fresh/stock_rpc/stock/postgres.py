from contextlib import contextmanager

import psycopg2
from psycopg2.extras import RealDictCursor
from psycopg2.pool import ThreadedConnectionPool


class Gateway:
    def __init__(self, dsn: str):
        self._pool = ThreadedConnectionPool(1, 8, dsn)

    @contextmanager
    def cursor(self):
        connection = self._pool.getconn()
        try:
            with connection.cursor(cursor_factory=RealDictCursor) as cur:
                yield cur
            connection.commit()
        finally:
            self._pool.putconn(connection)


class PostgresStock:
    def __init__(self, gateway: Gateway):
        self.gateway = gateway

    def level(self, sku: str) -> int:
        with self.gateway.cursor() as cur:
            cur.execute("SELECT on_hand FROM stock WHERE sku = %s", (sku,))
            row = cur.fetchone()
        return row["on_hand"] if row else 0


def reserve(dsn: str, sku: str, count: int) -> None:
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cur:
            cur.execute("UPDATE stock SET on_hand = on_hand - %s WHERE sku = %s", (count, sku))
    finally:
        connection.close()
