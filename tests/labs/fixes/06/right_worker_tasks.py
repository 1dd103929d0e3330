"""A task for each thread takes work from an asyncio.Queue, so that a place is free when its thread is done."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor


class Storage:
    def __init__(self, connect, bucket, *, size=4):
        self.connect, self.bucket, self.size = connect, bucket, size
        self.executor = ThreadPoolExecutor(size)
        self.client, self.connecting = None, asyncio.Lock()

    async def __aenter__(self):
        self.queue = asyncio.Queue()
        self.workers = [asyncio.create_task(self.work()) for _ in range(self.size)]
        return self

    async def __aexit__(self, *_):
        for _ in self.workers:
            self.queue.put_nowait(None)
        await asyncio.wait(self.workers)
        self.executor.shutdown()  # its threads have nothing to do any more

    async def work(self):
        while (order := await self.queue.get()) is not None:
            answer, method, given = order
            if answer.done():
                continue
            try:
                client = await self.ready()
                value = await self.hop(method, client, *given)
            except Exception as error:
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(value)

    async def ready(self):
        async with self.connecting:
            if self.client is None:
                client = await self.hop(self.connect)
                if not await self.hop(client.bucket_exists, self.bucket):
                    await self.hop(client.make_bucket, self.bucket)
                self.client = client
        return self.client

    async def hop(self, method, *given):
        return await asyncio.get_running_loop().run_in_executor(self.executor, method, *given)

    async def ask(self, method, *given):
        answer = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((answer, method, given))
        return await answer

    async def put(self, name, data):
        await self.ask(self.send, name, data)

    async def get(self, name):
        return await self.ask(self.load, name)

    def send(self, client, name, data):
        client.put_object(self.bucket, name, io.BytesIO(data), len(data))

    def load(self, client, name):
        with client.get_object(self.bucket, name) as answer:
            return answer.read()
