"""Threads of the storage's own take work from a queue; what was cancelled meanwhile is left out."""

import asyncio
import io
import queue
import threading


class Storage:
    def __init__(self, connect, bucket, *, size=4):
        self.connect, self.bucket, self.size = connect, bucket, size
        self.work = queue.SimpleQueue()
        self.client, self.making = None, threading.Lock()

    async def __aenter__(self):
        self.loop = asyncio.get_running_loop()
        self.alive, self.ended = self.size, asyncio.Event()
        for _ in range(self.size):
            threading.Thread(target=self.serve).start()
        return self

    async def __aexit__(self, *_):
        for _ in range(self.size):
            self.work.put(None)
        await self.ended.wait()

    def serve(self):
        while (order := self.work.get()) is not None:
            answer, method, given = order
            if answer.cancelled():
                continue
            try:
                value, tell = method(*given), self.returned
            except Exception as error:
                value, tell = error, self.raised
            self.loop.call_soon_threadsafe(tell, answer, value)
        self.loop.call_soon_threadsafe(self.end)

    def end(self):
        self.alive -= 1
        if not self.alive:
            self.ended.set()

    @staticmethod
    def returned(answer, value):
        if not answer.done():
            answer.set_result(value)

    @staticmethod
    def raised(answer, error):
        if not answer.done():
            answer.set_exception(error)

    async def ask(self, method, *given):
        answer = self.loop.create_future()
        self.work.put((answer, method, given))
        return await answer

    async def put(self, name, data):
        await self.ask(self.send, name, data)

    async def get(self, name):
        return await self.ask(self.load, name)

    def ready(self):
        with self.making:
            if self.client is None:
                client = self.connect()
                if not client.bucket_exists(self.bucket):
                    client.make_bucket(self.bucket)
                self.client = client
        return self.client

    def send(self, name, data):
        self.ready().put_object(self.bucket, name, io.BytesIO(data), len(data))

    def load(self, name):
        with self.ready().get_object(self.bucket, name) as answer:
            return answer.data
