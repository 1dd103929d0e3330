"""Lesson 02: a database driver that blocks the loop, and a job that never ends.

Limit: 1,263 lines, because the lab is driven by audits on a real PostgreSQL, and the
notebook shows a hang, a loss and a cancelled call on its connections, and draws who waits for
whom while it hangs.
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="02",
    stem="sync_database",
    title="The job that never ends and never fails",
    summary="A database driver that blocks the event loop: first stalls, then silent hangs, then the fixes.",
    minutes=40,
    conflicts=words(
        "blocking-db pool-starvation transaction-left-open executor-saturation sequential-awaits "
        "too-many-connections unclosed-resource swallowed-cancellation"
    ),
    requires=("01",),
    services=("postgres",),
    public=("Audits",),
    hints=graded("""
        Two lines can stop the loop for good: one waits for a connection, one for a row. Who holds what they
        are waiting for, and can that task ever run again? And what happens to a connection when its task is
        cancelled?

        Use an async driver, or move the whole unit of work, getconn included, to a thread. Then shorten the
        unit: read, return the connection, ask, take a connection again and store. A task that holds nothing
        while it waits cannot starve the others.

        Open asyncpg.create_pool(dsn, min_size=1, max_size=size) in __aenter__. Read in `async with
        self.pool.acquire() as connection:`. Ask outside of it. Store in `async with self.pool.acquire() as
        connection, connection.transaction():`, and leave `for update` out: `mentions = mentions + $1` needs
        no prior lock. asyncpg writes $1, $2 for %s.
    """),
)
