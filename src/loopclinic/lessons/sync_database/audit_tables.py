"""Tables of lesson 02 (companies, audits, queries, responses): created, filled with test audits, read.

Schema and seed rows lie in `data/sync_database`, where a learner finds them.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TYPE_CHECKING

import psycopg

from loopclinic.paths import kit_data

if TYPE_CHECKING:
    from loopclinic.lessons.database.scenes import Database


@dataclass(frozen=True, slots=True)
class Company:
    """A company whose brand is audited."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit that is due: which queries it asks, and which answers will mention the company."""

    id: int
    company: Company
    queries: tuple[tuple[int, str, bool], ...]
    """Of each: its id, its text, and whether the answer to it will name the company."""

    @property
    def mentions(self) -> int:
        """How many answers name the company."""
        return sum(mentioned for _, _, mentioned in self.queries)


def _rows(name: str) -> list[dict[str, str]]:
    with (kit_data("sync_database") / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def companies() -> tuple[Company, ...]:
    """Return the seed's companies."""
    return tuple(Company(int(row["id"]), row["name"]) for row in _rows("companies"))


@cache
def _questions() -> tuple[str, ...]:
    return tuple(row["text"] for row in _rows("questions"))


def lay_out(dsn: str) -> None:
    """Make the tables in the empty database at `dsn`, and enter the companies.

    Raises:
        KitNotFoundError: the kit's `data/` folder is nowhere to be found.
        psycopg.Error: the database can't be reached or is not empty.
    """
    with psycopg.connect(dsn, connect_timeout=10) as connection, connection.cursor() as cursor:
        cursor.execute((kit_data("sync_database") / "schema.sql").read_bytes())
        rows = [(one.id, one.name) for one in companies()]
        cursor.executemany("insert into companies (id, name) values (%s, %s)", rows)


def draw(rng: Random, of: Sequence[Company], *, first: int, queries: int = 3) -> list[Audit]:
    """Draw an audit for each company in `of`, numbered from `first`."""
    audits = []
    for number, company in enumerate(of, first):
        texts = enumerate(rng.sample(_questions(), queries), number * 10)
        # The number makes each text one of a kind, so that it leads back to its query.
        due = (
            (id_, f"{text.format(name=company.name)} (#{id_})", rng.random() < 0.5)
            for id_, text in texts
        )
        audits.append(Audit(number, company, tuple(due)))
    return audits


def enter(connection: "psycopg.Connection[tuple[object, ...]]", audits: Iterable[Audit]) -> None:
    """Enter audits that are due."""
    audits = list(audits)
    with connection.transaction(), connection.cursor() as cursor:
        due = [(one.id, one.company.id) for one in audits]
        cursor.executemany("insert into audits (id, company_id) values (%s, %s)", due)
        asked = [(id_, one.id, text) for one in audits for id_, text, _ in one.queries]
        cursor.executemany("insert into queries (id, audit_id, text) values (%s, %s, %s)", asked)


def answer_to(audit: Audit, text: str) -> str:
    """Return what a language model says to a query of this audit.

    Raises:
        LookupError: that is no query of it.
    """
    for number, query, mentioned in audit.queries:
        if query == text:
            shout, name = str.upper if number % 2 else str.swapcase, audit.company.name
            brand = shout(name) if mentioned else "no brand in particular"
            return f"Most people I hear of would name {brand}."
    raise LookupError(f"{text!r} is no query of audit {audit.id}.")


@dataclass(frozen=True, slots=True)
class Stored:
    """What PostgreSQL has of some audits, by their ids."""

    done: list[int]
    touched: list[int]
    """Audits that are done or have responses."""
    wrong: list[int]
    """Audits that are not stored as they should be."""
    miscounted: list[int]
    """Companies whose sums are not those of their audits."""


async def stored(database: "Database", audits: Sequence[Audit]) -> Stored:
    """Return what PostgreSQL has of these audits, and which sums are not as they should be."""
    states = await database.rows(
        "select audits.id, status, audits.mentions, query_id, responses.text, mentioned from audits"
        " left join queries on audit_id = audits.id"
        " left join responses on query_id = queries.id"
        " where audits.id = any(%s)",
        [one.id for one in audits],
    )
    totals = await database.rows(
        "select companies.id, audits_done, companies.mentions,"
        " count(audits.id), coalesce(sum(audits.mentions), 0) from companies"
        " left join audits on company_id = companies.id and status = 'done'"
        " group by companies.id"
    )
    wanted = {
        (one.id, "done", one.mentions, query, answer_to(one, text), mentioned)
        for one in audits
        for query, text, mentioned in one.queries
    }
    return Stored(
        done=sorted({row[0] for row in states if row[1] == "done"}),
        touched=sorted({row[0] for row in states if row[1] == "done" or row[3] is not None}),
        wrong=sorted({row[0] for row in wanted.symmetric_difference(states)}),
        miscounted=[row[0] for row in totals if row[1:3] != row[3:]],
    )
