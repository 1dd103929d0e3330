"""Lesson 02: a database driver that waits on the loop, and a job that never ends."""

from loopclinic.lessons.lesson import Budget, Lesson

__all__ = ["LESSON"]

LESSON = Lesson(
    number="02",
    stem="sync_database",
    title="The job that never ends and never fails",
    summary="A database driver that waits on the event loop: stalls, then silent hangs, then the cures.",
    minutes=40,
    conflicts=(
        "blocking-db",
        "pool-starvation",
        "transaction-left-open",
        "executor-saturation",
        "sequential-awaits",
        "unbounded-gather",
        "unclosed-resource",
        "swallowed-cancellation",
    ),
    requires=("01",),
    services=("postgres",),
    public=("Audits",),
    hints=(
        (
            "Two lines can stop the loop for good: one waits for a connection, one for a row. Who has "
            "what they wait for, and can that task ever run again? And what happens to a connection "
            "when its task is cancelled?"
        ),
        (
            "The driver has to await, or the whole unit of work, getconn included, belongs on a "
            "thread. Then shorten the unit: read and give the connection back, ask, take one again "
            "and store. A task that holds nothing while it waits for somebody else starves nobody."
        ),
        (
            "Open asyncpg.create_pool(dsn, min_size=1, max_size=size) in __aenter__. Read in `async "
            "with self.pool.acquire() as connection:`. Ask outside of it. Store in `async with "
            "self.pool.acquire() as connection, connection.transaction():`, and leave `for update` "
            "out: `mentions = mentions + $1` needs no lock before it."
        ),
    ),
    budgets={
        "stall": Budget(
            0.5,
            "x the line there and back",
            "A right answer never stops the loop for the database; one that waits there does so for "
            "a whole round trip, time and again.",
        ),
        "thread": Budget(
            0.25,
            "s",
            "A right answer leaves the default executor alone, where a thread is there in a "
            "millisecond; one that fills it makes others wait for as long as the database takes.",
        ),
        "connections": Budget(1.0, "x size", "A count, at PostgreSQL: sessions at one moment."),
        "sessions": Budget(
            2.0,
            "x size",
            "A count, at PostgreSQL: sessions in all. A pool opens `size`; a pool a call opens one "
            "for each audit.",
        ),
        "cancel": Budget(
            0.5,
            "s",
            "A right answer takes some milliseconds, PostgreSQL's part included; one that waits for "
            "its query takes until the query is done.",
        ),
    },
)
