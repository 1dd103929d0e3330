"""What is asked about a company."""

import asyncio
from dataclasses import dataclass

from psycopg_pool import ConnectionPool

from .jobs import Audit


@dataclass(frozen=True)
class Context:
    """What the queries say about a company."""

    name: str
    industry: str
    competitors: str


@dataclass(frozen=True)
class Query:
    """A query of an audit."""

    id: int
    text: str


async def company_context(pool: ConnectionPool, audit: Audit) -> Context:
    """Return what the queries say about the audit's company."""
    with pool.connection() as connection, connection.cursor() as cursor:
        cursor.execute("select name, industry from companies where id = %s", [audit.company])
        name, industry = next(cursor)
        cursor.execute(
            "select name from competitors where company_id = %s order by name", [audit.company]
        )
        return Context(name, industry, ", ".join(row[0] for row in cursor))


async def generate_queries(pool: ConnectionPool, audit: Audit, context: Context) -> list[Query]:
    """Write and store the audit's queries."""

    def generate() -> list[Query]:
        with pool.connection() as connection, connection.cursor() as cursor:
            cursor.execute("select text from questions order by id")
            queries = []
            for (text,) in cursor.fetchall():
                query = text.format_map(vars(context))
                cursor.execute(
                    "insert into queries (audit_id, text) values (%s, %s) returning id",
                    [audit.id, query],
                )
                queries.append(Query(next(cursor)[0], query))
            return queries

    return await asyncio.to_thread(generate)
