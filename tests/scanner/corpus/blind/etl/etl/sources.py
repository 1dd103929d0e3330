"""Where rows come from: PostgreSQL, MongoDB, MySQL, SFTP, a zip file."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import paramiko
import psycopg
import pymysql
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from pymongo import AsyncMongoClient, MongoClient

if TYPE_CHECKING:
    from pymongo.collection import Collection

pool = ConnectionPool("dbname=etl", open=True)
apool = AsyncConnectionPool("dbname=etl", open=False)
mongo: MongoClient[dict[str, Any]] = MongoClient("mongodb://localhost")
amongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient("mongodb://localhost")


async def start() -> None:
    await apool.open(wait=True, timeout=10)


async def stop() -> None:
    await apool.close()
    await amongo.close()


def stop_threads() -> None:
    pool.close()
    mongo.close()


async def newest(limit: int) -> list[dict[str, Any]]:
    with psycopg.connect("dbname=etl", row_factory=dict_row) as conn:  # expect: blocking-db
        return conn.execute("select * from row order by id desc limit %s", (limit,)).fetchall()  # expect: blocking-db


async def newest_well(limit: int) -> list[tuple[Any, ...]]:
    async with apool.connection() as conn:  # clean: the async pool
        cursor = await conn.execute("select * from row limit %s", (limit,))  # clean: the async pool
        return await cursor.fetchall()


async def total() -> int:
    with pool.connection() as conn:  # expect: blocking-db
        return conn.execute("select count(*) from row").fetchone()[0]  # expect: blocking-db


async def documents(kind: str) -> int:
    return mongo.etl.rows.count_documents({"kind": kind})  # expect: blocking-db


async def documents_well(kind: str) -> int:
    return await amongo.etl.rows.count_documents({"kind": kind})  # clean: the async client


async def insert(rows: Collection[dict[str, Any]], row: dict[str, Any]) -> None:
    rows.insert_one(row)  # expect: blocking-db


class Warehouse:
    def __init__(self, password: str) -> None:
        self.db = pymysql.connect(host="warehouse", user="etl", password=password)

    def _rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        with self.db.cursor() as cursor:
            cursor.execute(f"select * from {table}")
            yield from cursor.fetchall()

    async def rows(self, table: str) -> AsyncIterator[tuple[Any, ...]]:
        for row in self._rows(table):  # expect-via: blocking-db
            yield row

    async def alive(self) -> None:
        self.db.ping(reconnect=True)  # expect: blocking-db

    def close(self) -> None:
        self.db.close()


def _download(host: str, path: str) -> bytes:
    with paramiko.SSHClient() as client:
        client.load_system_host_keys()
        client.connect(host, timeout=10)
        with client.open_sftp() as sftp, sftp.open(path) as file:
            return file.read()


async def download(host: str, path: str) -> bytes:
    return _download(host, path)  # expect-via: blocking-net


async def members(path: str) -> list[str]:
    with zipfile.ZipFile(path) as archive:  # expect: blocking-file-io
        return archive.namelist()  # clean: the directory was read when it was opened
