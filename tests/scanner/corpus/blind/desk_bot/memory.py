import sqlite3
from contextlib import closing, contextmanager
from collections.abc import Iterator

SCHEMA = "create table if not exists note (author integer, body text, at text default current_timestamp)"


class Memory:
    def __init__(self, path: str) -> None:
        self.path = path

    @contextmanager
    def _cursor(self) -> Iterator[sqlite3.Cursor]:
        with closing(sqlite3.connect(self.path)) as connection:
            with connection:
                yield connection.cursor()

    def prepare(self) -> None:
        with self._cursor() as cursor:
            cursor.execute(SCHEMA)

    def add(self, author: int, body: str) -> None:
        with self._cursor() as cursor:
            cursor.execute("insert into note (author, body) values (?, ?)", (author, body))

    def all(self, author: int) -> list[str]:
        with self._cursor() as cursor:
            rows = cursor.execute("select body from note where author = ?", (author,)).fetchall()
        return [row[0] for row in rows]

    def forget(self, days: int) -> int:
        with self._cursor() as cursor:
            cursor.execute("delete from note where at < date('now', ?)", (f"-{days} days",))
            return cursor.rowcount

    async def count(self) -> int:
        with self._cursor() as cursor:  # expect-via: blocking-db
            return cursor.execute("select count(*) from note").fetchone()[0]  # expect: blocking-db
