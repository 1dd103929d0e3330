"""Updates the company's sums first, in a transaction of its own."""

import asyncio

import asyncpg


class Clerk:
    """An actor with one connection; does one job after the other."""

    def __init__(self, dsn, inbox):
        self.dsn, self.inbox, self.connection = dsn, inbox, None

    async def work(self):
        try:
            while True:
                job, answer = await self.inbox.get()
                if answer.cancelled():
                    continue
                await self.do(job, answer)
        finally:
            if self.connection is not None:
                await self.connection.close()

    async def do(self, job, answer):
        task = asyncio.ensure_future(self.transact(job))
        answer.add_done_callback(lambda answer: answer.cancelled() and task.cancel())
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if answer.cancelled():
            if not task.cancelled():
                task.exception()
        elif task.exception() is not None:
            answer.set_exception(task.exception())
        else:
            answer.set_result(task.result())

    async def transact(self, job):
        if self.connection is None or self.connection.is_closed():
            self.connection = await asyncpg.connect(self.dsn)
        async with self.connection.transaction():
            return await job(self.connection)


class Audits:
    def __init__(self, dsn, *, size=4):
        self.dsn, self.size = dsn, size

    async def __aenter__(self):
        self.inbox = asyncio.Queue()
        self.clerks = [
            asyncio.create_task(Clerk(self.dsn, self.inbox).work()) for _ in range(self.size)
        ]
        return self

    async def __aexit__(self, *_):
        for clerk in self.clerks:
            clerk.cancel()
        await asyncio.gather(*self.clerks, return_exceptions=True)

    async def done(self, job):
        answer = asyncio.get_running_loop().create_future()
        self.inbox.put_nowait((job, answer))
        return await answer

    async def run(self, audit, ask):
        async def load(connection):
            company = await connection.fetchrow(
                "select c.id, c.name from companies c join audits a on a.company_id = c.id where a.id = $1",
                audit,
            )
            return company, await connection.fetch(
                "select id, text from queries where audit_id = $1", audit
            )

        async def store(connection):
            await connection.executemany("insert into responses values ($1, $2, $3)", rows)
            await connection.execute(
                "update audits set status = 'done', mentions = $1 where id = $2", mentions, audit
            )

        async def count(connection):
            await connection.execute(
                "update companies set audits_done = audits_done + 1, mentions = mentions + $1 where id = $2",
                mentions,
                company["id"],
            )

        company, queries = await self.done(load)
        rows = []
        for query in queries:
            answer = await ask(query["text"])
            rows.append((query["id"], answer, company["name"].upper() in answer.upper()))
        mentions = sum(row[2] for row in rows)
        await self.done(count)
        await self.done(store)
        return mentions
