"""Lesson 14: the capstone, a job that is alive, idle, and never ends.

Limit: 2,050 lines, because its lab is a package of ten functions: each is timed, step by step, and judged by
what it leaves (`audit_scene`, `check_functions`, `queue_tables`); the whole job is raced by two workers and killed
(`check_workers`), crowded and hung (`check_crowd`), and cancelled (`check_cancelled`); the notebook starts a job that
hangs, and compares three finished designs. 116 lines of these judge what a reader's solutions did: row locks,
scores without answers, cancels that set audits to failed, units of work, and waits for the GIL. 107 judge what 24
more did: what modules keep, statuses moved while an audit stores, queries given up or asked again, errors that end
the run, connections that tasks share.
"""

from loopclinic.lessons.catalogue import Lesson, graded

LESSON = Lesson(
    number="14",
    stem="audit_capstone",
    title="Alive, idle, and it never ends",
    summary="An audit job that hangs: found from outside, its ten functions converted, the whole job proved.",
    minutes=60,
    conflicts=(
        "blocking-db",
        "pool-starvation",
        "transaction-left-open",
        "sequential-awaits",
        "cpu-bound",
        "too-many-connections",
        "unclosed-resource",
        "unbounded-gather",
        "unisolated-failure",
        "masked-failure",
        "swallowed-cancellation",
        "dropped-task",
    ),
    requires=("02",),
    services=("postgres",),
    public=("open_processor",),
    hints=graded("""
        Attach to the job while it hangs: which line is the loop stuck at, and which function holds
        what it waits for? Then let `loopclinic scan audit` list the other functions, and write down
        for each what it holds while it awaits.

        Choose the unit of work before the driver: what must be stored together, or not at all? Keep
        in memory what an audit has so far, and store it in one transaction that also moves the
        status, only where it is still 'running'. No function needs a connection or a lock while a
        model is asked, and `is_cancelled` is asked right before.

        `async with pool.connection() as connection:` of psycopg_pool's AsyncConnectionPool; take by
        `update ... where id = (select ... for update skip locked limit 1) returning ...`; ask in an
        asyncio.TaskGroup, each call under its provider's Semaphore(limit), in it asyncio.timeout(timeout);
        scores, of answers only, by asyncio.to_thread; finish by `... where id = %s and status = 'running'`.
        """),
    deadline=45.0,
)
