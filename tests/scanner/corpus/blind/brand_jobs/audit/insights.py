from psycopg2.extensions import connection, cursor


async def write_insight(conn: connection, job_id: str, body: str) -> None:
    cur: cursor = conn.cursor()
    cur.execute("insert into insight (job_id, body) values (%s, %s)", (job_id, body))  # expect: blocking-db
    conn.commit()  # expect: blocking-db


async def purge(conn: connection, job_ids: list[str]) -> None:
    cur = conn.cursor()
    cur.executemany("delete from insight where job_id = %s", [(one,) for one in job_ids])  # expect: blocking-db
