"""What is asked about a company."""

from dataclasses import dataclass

from asyncpg import Pool

from .jobs import Audit


@dataclass(frozen=True)
class Context:
    """What the queries say about a company."""

    name: str
    industry: str
    competitors: str


async def company_context(pool: Pool, audit: Audit) -> Context:
    """Return what the queries say about the audit's company."""
    query = """
        select companies.name, industry,
            coalesce(string_agg(competitors.name, ', ' order by competitors.name), '')
        from companies left join competitors on company_id = companies.id
        where companies.id = $1 group by companies.id
    """
    row = await pool.fetchrow(query, audit.company)
    if row is None:
        raise LookupError(f"There is no company {audit.company}.")
    return Context(*row)


async def generate_queries(pool: Pool, context: Context) -> list[str]:
    """Write the audit's queries."""
    found = await pool.fetch("select text from questions order by id")
    return [row["text"].format_map(vars(context)) for row in found]
