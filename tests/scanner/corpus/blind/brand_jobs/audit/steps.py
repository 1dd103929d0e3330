"""The steps of one brand audit."""

import asyncio
from functools import partial
from typing import Any

import psycopg2
import psycopg2.extras

from .pool import get_connection

DSN = "dbname=audit"


async def update_status(job_id: str, status: str) -> None:
    async with get_connection() as conn:
        with conn.cursor() as cur:  # clean: a client-side cursor sends nothing
            cur.execute("update job set status = %s where id = %s", (status, job_id))  # expect: blocking-db


def _company(job_id: str) -> dict[str, Any]:
    conn = psycopg2.connect(DSN)
    try:
        with conn.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cur:
            cur.execute("select * from company join job using (company_id) where job.id = %s", (job_id,))
            return dict(cur.fetchone())
    finally:
        conn.close()


async def load_company(job_id: str) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, _company, job_id)  # clean: a reference, run in the executor


async def load_company_again(job_id: str) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, partial(_company, job_id))  # clean: a partial for the executor


async def score(job_id: str) -> float:
    company = _company(job_id)  # expect-via: blocking-db
    return _weigh(company)  # clean: a handful of additions


def _weigh(company: dict[str, Any]) -> float:
    return 0.7 * company["reach"] + 0.3 * company["tone"]


def _store(job_id: str, answers: list[str]) -> None:
    with psycopg2.connect(DSN) as conn, conn.cursor() as cur:
        psycopg2.extras.execute_values(
            cur, "insert into answer (job_id, body) values %s", [(job_id, one) for one in answers]
        )
    conn.close()


async def finalize(job_id: str, answers: list[str]) -> None:
    _store(job_id, answers)  # expect-via: blocking-db
    await update_status(job_id, "done")
