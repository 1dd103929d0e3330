"""What is asked about a company."""

from dataclasses import dataclass

from psycopg_pool import AsyncConnectionPool

from .jobs import Audit


TEMPLATES: list[str] = []
"""Of the questions, read once."""


@dataclass(frozen=True)
class Context:
    """What the queries say about a company."""

    name: str
    industry: str
    competitors: str


async def company_context(pool: AsyncConnectionPool, audit: Audit) -> Context:
    """Return what the queries say about the audit's company."""
    query = """
        select companies.name, industry,
            coalesce(string_agg(competitors.name, ', ' order by competitors.name), '')
        from companies left join competitors on company_id = companies.id
        where companies.id = %s group by companies.id
    """
    async with pool.connection() as connection:
        row = await (await connection.execute(query, [audit.company])).fetchone()
    if row is None:
        raise LookupError(f"There is no company {audit.company}.")
    return Context(*row)


async def generate_queries(pool: AsyncConnectionPool, context: Context) -> list[str]:
    """Write the audit's queries."""
    if not TEMPLATES:
        async with pool.connection() as connection:
            found = await connection.execute("select text from questions order by id")
            TEMPLATES[:] = [text for (text,) in await found.fetchall()]
    return [text.format_map(vars(context)) for text in TEMPLATES]
