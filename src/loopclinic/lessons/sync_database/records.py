"""The records of a brand-audit service: companies, audits, queries, responses.

Schema and seed rows lie in `data/sync_database`, where a learner finds them.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import psycopg

from loopclinic.places import kit_data

__all__ = [
    "Audit",
    "Company",
    "answer_to",
    "companies",
    "draw",
    "enter",
    "lay_out",
]


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
        cursor.executemany(
            "insert into companies (id, name) values (%s, %s)",
            [(one.id, one.name) for one in companies()],
        )


def draw(rng: Random, of: Sequence[Company], *, first: int, queries: int = 3) -> list[Audit]:
    """Draw an audit for each company in `of`, numbered from `first`."""
    audits = []
    for number, company in enumerate(of, first):
        texts = rng.sample(_questions(), queries)
        audits.append(
            Audit(
                number,
                company,
                tuple(
                    # The number makes each text one of a kind, so that it leads back to its query.
                    (id_, f"{text.format(name=company.name)} (#{id_})", rng.random() < 0.5)  # noqa: PLR2004
                    for id_, text in enumerate(texts, number * 10)
                ),
            )
        )
    return audits


def enter(connection: "psycopg.Connection[tuple[object, ...]]", audits: Iterable[Audit]) -> None:
    """Enter audits that are due."""
    audits = list(audits)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "insert into audits (id, company_id) values (%s, %s)",
            [(one.id, one.company.id) for one in audits],
        )
        cursor.executemany(
            "insert into queries (id, audit_id, text) values (%s, %s, %s)",
            [(id_, one.id, text) for one in audits for id_, text, _ in one.queries],
        )


def answer_to(audit: Audit, text: str) -> str:
    """Return what a language model says to a query of this audit.

    Raises:
        LookupError: that is no query of it.
    """
    for _, query, mentioned in audit.queries:
        if query == text:
            brand = audit.company.name.upper() if mentioned else "no brand in particular"
            return f"Most people I hear of would name {brand}."
    raise LookupError(f"{text!r} is no query of audit {audit.id}.")
