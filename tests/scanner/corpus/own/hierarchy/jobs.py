"""Jobs that use them."""

import asyncio

from stores import Audit, MemoryStore, SqliteStore, Store, apool, connection, make_store, pool


async def save(store: Store):
    store.save("a", "b")  # expect-via: blocking-db
    store.check("a")  # clean: an assertion


async def save_sqlite():
    store = make_store("sqlite")
    store.save("a", "b")  # expect-via: blocking-db
    print(store.key("a"), len(store))  # clean: formats only
    for row in store.rows():  # expect-via: blocking-db
        print(row)


async def by_property(store: SqliteStore):
    store.db.execute("select 1")  # expect: blocking-db


async def memory(store: MemoryStore):
    store.get("a")  # clean: a dict inside
    store.execute("a")  # clean: a dict inside


async def by_hand():
    with connection() as db:  # expect-via: blocking-db
        db.execute("select 1")  # expect: blocking-db


async def pooled():
    with pool.connection() as db:  # expect: blocking-db
        db.execute("select 1")  # expect: blocking-db


async def pooled_async():
    async with apool.connection() as db:  # clean: the async pool
        await db.execute("select 1")  # clean: the async connection


async def by_hand_of_pool():
    db = pool.getconn()  # expect: blocking-db
    try:
        cursor = db.cursor()  # clean: makes an object
        cursor.execute("select 1")  # expect: blocking-db
        return cursor.fetchall()  # clean: goes on with the execute above
    finally:
        pool.putconn(db)  # clean: gives it back


class Job:
    def __init__(self, audit: Audit):
        self.audit = audit
        self.steps = [self.first]

    def first(self):
        self.audit.log("first")

    def second(self):
        return self.first()

    async def run(self):
        self.second()  # expect-via: blocking-db
        self.audit.memory.get("a")  # clean: a dict inside
        self.audit.stores["a"].save("a", "b")  # expect-via: blocking-db
        self.audit.connection.commit()  # expect: blocking-db
        step = self.first
        await asyncio.to_thread(step)  # clean: run in a thread
        await asyncio.to_thread(lambda: self.second())  # clean: run in a thread

    async def run_all(self):
        async def one():
            self.first()  # expect-via: blocking-db

        await one()
        await asyncio.get_running_loop().run_in_executor(None, self.second)  # clean: run in a thread

    def run_sync(self):
        return asyncio.run(self.run())  # expect: loop-per-call
