"""What is asked about a company."""

from dataclasses import dataclass

from psycopg_pool import AsyncConnectionPool

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


async def company_context(pool: AsyncConnectionPool, audit: Audit) -> Context:
    """Return what the queries say about the audit's company."""
    async with pool.connection() as connection, connection.cursor() as cursor:
        await cursor.execute("select name, industry from companies where id = %s", [audit.company])
        row = await cursor.fetchone()
        if row is None:
            raise LookupError(f"There is no company {audit.company}.")
        await cursor.execute(
            "select name from competitors where company_id = %s order by name", [audit.company]
        )
        return Context(*row, ", ".join([row[0] async for row in cursor]))


async def generate_queries(
    pool: AsyncConnectionPool, audit: Audit, context: Context
) -> list[Query]:
    """Write and store the audit's queries."""
    async with pool.connection() as connection, connection.cursor() as cursor:
        await cursor.execute("select text from questions order by id")
        queries = []
        for (text,) in await cursor.fetchall():
            query = text.format_map(vars(context))
            await cursor.execute(
                "insert into queries (audit_id, text) values (%s, %s) returning id",
                [audit.id, query],
            )
            (key,) = await cursor.fetchone() or (0,)
            queries.append(Query(key, query))
        return queries
