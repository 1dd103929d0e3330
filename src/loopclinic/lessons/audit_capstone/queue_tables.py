"""The audits' tables: companies, questions, audits that are due, what models answer, what is stored of it.

Schema and seed rows are in `data/audit_capstone`.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from zlib import crc32

import psycopg

from loopclinic.paths import kit_data

if TYPE_CHECKING:
    from loopclinic.lessons.database.scenes import Database


def _rows(name: str) -> list[dict[str, str]]:
    # loopclinic: ignore[blocking-file-io] the kit's own file, of ten lines
    with (kit_data("audit_capstone") / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True, slots=True)
class Company:
    """A company whose brand is audited, and the queries about it."""

    id: int
    name: str
    industry: str
    competitors: tuple[str, ...]

    @property
    def queries(self) -> list[str]:
        """The queries of each of its audits."""
        about = {"name": self.name, "industry": self.industry}
        about["competitors"] = ", ".join(sorted(self.competitors))
        return [row["text"].format_map(about) for row in _rows("questions")]


@dataclass(frozen=True, slots=True)
class Due:
    """An audit that is queued."""

    id: int
    company: Company


@cache
def companies() -> tuple[Company, ...]:
    """Return the seed's companies."""
    return tuple(
        Company(int(row["id"]), row["name"], row["industry"], tuple(row["competitors"].split("; ")))
        for row in _rows("companies")
    )


@cache
def asked_about() -> Mapping[str, Company]:
    """Return, for each query that an audit may ask, the company that it is about."""
    return {query: one for one in companies() for query in one.queries}


def names_it(provider: str, query: str) -> bool:
    """Return whether this provider's answer names the company."""
    return crc32(f"{provider}: {query}".encode()) % 3 > 0


def answer_of(provider: str, query: str) -> str:
    """Return what a provider answers to a query."""
    company = asked_about().get(query)
    if company is None:
        return "I do not understand the question."
    shout = str.upper if len(query) % 2 else str.swapcase
    brand = shout(company.name) if names_it(provider, query) else "no brand in particular"
    return f"{provider} hears most people name {brand}."


def lay_out(dsn: str) -> None:
    """Create the tables in the empty database at `dsn`, with companies and questions.

    Raises:
        KitNotFoundError: the kit's `data/` folder is not found.
        psycopg.Error: the database can't be reached or is not empty.
    """
    with psycopg.connect(dsn, connect_timeout=10) as connection, connection.cursor() as cursor:
        cursor.execute((kit_data("audit_capstone") / "schema.sql").read_bytes())
        cursor.executemany(
            "insert into companies (id, name, industry) values (%s, %s, %s)",
            [(one.id, one.name, one.industry) for one in companies()],
        )
        cursor.executemany(
            "insert into competitors (company_id, name) values (%s, %s)",
            [(one.id, name) for one in companies() for name in one.competitors],
        )
        cursor.executemany(
            "insert into questions (id, text) values (%s, %s)",
            [(row["id"], row["text"]) for row in _rows("questions")],
        )


def enqueue(connection: "psycopg.Connection[tuple[object, ...]]", due: Iterable[Due]) -> None:
    """Queue audits."""
    with connection.transaction(), connection.cursor() as cursor:
        rows = [(one.id, one.company.id) for one in due]
        cursor.executemany("insert into audits (id, company_id) values (%s, %s)", rows)


@dataclass(frozen=True, slots=True)
class Stored:
    """What PostgreSQL has of some audits, compared with what it should have of those completed."""

    status: dict[int, str]
    errors: dict[int, str]
    rows: int
    """In `final_responses`."""
    missing: int
    unmoved: int
    """Of these, that are in `responses`."""
    surplus: int
    """Responses of completed audits that are in `final_responses` more than once."""
    garbled: int
    """Whose text is not the answer, or which have no error where there was no answer."""
    misread: int
    """Whose `mentioned` is wrong."""
    misscored: int
    """Completed audits whose score, low or high is wrong."""
    miscounted: int
    """Of their companies, those whose counters are not those of completed audits."""
    left: int
    """Rows in `queries` and `responses`."""

    def all_are(self, status: str) -> bool:
        """Return whether all have this status."""
        return set(self.status.values()) == {status}


async def stored(
    database: "Database",
    due: Sequence[Due],
    providers: Sequence[str],
    unanswered: Iterable[tuple[str, str]] = (),
) -> Stored:
    """Return what PostgreSQL has of these audits.

    `unanswered` are the providers, each with a query, that gave no answer.
    """
    ids, silent = [one.id for one in due], set(unanswered)
    audits = await database.rows(
        "select id, status, coalesce(error, ''), score, low, high from audits where id = any(%s)",
        ids,
    )
    final = await database.rows(
        "select audit_id, query, provider, text, error, mentioned from final_responses"
        " where audit_id = any(%s)",
        ids,
    )
    working = await database.rows(
        "select audit_id, queries.text, provider from queries"
        " left join responses on query_id = queries.id where audit_id = any(%s)",
        ids,
    )
    miscounted = await database.rows(
        "select companies.id from companies left join audits"
        " on company_id = companies.id and status = 'completed' group by companies.id"
        " having companies.id = any(%s) and (audits_done <> count(audits.id)"
        " or queries_asked <> count(audits.id) * (select count(*) from questions))",
        [one.company.id for one in due],
    )
    status = {row[0]: row[1] for row in audits}
    done = [one for one in due if status.get(one.id) == "completed"]
    wanted = Counter(
        (one.id, query, name) for one in done for query in one.company.queries for name in providers
    )
    has = Counter((row[0], row[1], row[2]) for row in final if status[row[0]] == "completed")
    known = [row for row in final if (row[0], row[1], row[2]) in wanted]

    def garbled(query: str, name: str, text: str | None, error: str | None) -> bool:
        if (name, query) in silent:
            return not error or text is not None
        return text != answer_of(name, query) or bool(error)

    def misread(query: str, name: str, mentioned: bool | None) -> bool:
        return (name, query) not in silent and mentioned is not names_it(name, query)

    scores = {row[0]: row[3:] for row in audits}
    missing = wanted - has
    return Stored(
        status=status,
        errors={row[0]: row[2] for row in audits if row[2]},
        rows=len(final),
        missing=missing.total(),
        unmoved=len(missing.keys() & set(working)),
        surplus=sum(has[key] - wanted[key] for key in wanted if has[key] > wanted[key]),
        garbled=sum(garbled(*row[1:5]) for row in known),
        misread=sum(misread(row[1], row[2], row[5]) for row in known),
        misscored=sum(not _scored(scores[one.id], one, providers, silent) for one in done),
        miscounted=len(miscounted),
        left=len(working),
    )


def _scored(
    found: Sequence[float | None], due: Due, providers: Sequence[str], silent: set[tuple[str, str]]
) -> bool:
    """Return whether an audit's score, low and high may be those of its answers."""
    named = [
        names_it(name, query)
        for query in due.company.queries
        for name in providers
        if (name, query) not in silent
    ]
    score, low, high = found
    if not named or score is None or low is None or high is None:
        return False
    share = sum(named) / len(named)
    spread = 0 < share < 1
    within = low < share < high if spread else low == share == high
    return abs(score - share) < 1e-6 and within
