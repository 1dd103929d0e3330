"""Lesson 02: a database driver that waits on the loop, and a job that never ends."""

from loopclinic.lessons.lesson import Lesson

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
        "too-many-connections",
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
)
