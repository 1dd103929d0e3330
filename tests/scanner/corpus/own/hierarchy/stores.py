"""Stores behind a protocol, template methods, and factories."""

import sqlite3
from abc import ABC, abstractmethod
from typing import Protocol, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

pool = ConnectionPool("dbname=x", open=False)
apool = AsyncConnectionPool("dbname=x", open=False)
T = TypeVar("T", bound="Store")


class Reader(Protocol):
    def read(self, key: str) -> str: ...


class Store(ABC):
    def save(self, key, value):
        self.check(key)
        self._write(key, value)

    def check(self, key):
        assert key

    @abstractmethod
    def _write(self, key, value): ...


class SqliteStore(Store):
    def __init__(self, path):
        self._db = None
        self.path = path

    @property
    def db(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = sqlite3.connect(self.path)
        return self._db

    def _write(self, key, value):
        self.db.execute("insert into x values (?, ?)", (key, value))
        self.db.commit()

    def rows(self):
        for row in self.db.execute("select * from x"):
            yield row

    def __len__(self):
        return 3

    def key(self, value):
        return f"{self.path}/{value}"


class MemoryStore:
    def __init__(self):
        self.items = {}

    def get(self, key):
        return self.items.get(key)

    def execute(self, text):
        return self.items


def make_store(kind: str):
    if kind == "sqlite":
        return SqliteStore("x.db")
    return None


def connection():
    return psycopg.connect("dbname=x")


class Audit:
    connection: psycopg.Connection
    stores: dict[str, SqliteStore]

    def __init__(self, connection: "psycopg.Connection | None" = None):
        self.connection = connection or psycopg.connect("dbname=x")
        self.memory = MemoryStore()
        self.stores = {}

    def log(self, text):
        with self.connection.cursor() as cursor:
            cursor.execute("insert into log values (%s)", (text,))
