"""All wait for the task that connects, without a shield: the first caller's cancel takes the others along."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor


class Storage:
    def __init__(self, connect, bucket, *, size=4):
        self._connect, self._bucket = connect, bucket
        self._threads = ThreadPoolExecutor(size)
        self._client, self._making = None, None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await asyncio.to_thread(self._threads.shutdown)

    async def put(self, name, data):
        client = await self._ready()
        await self._run(self._put, client, name, data)

    async def get(self, name):
        client = await self._ready()
        return await self._run(self._get, client, name)

    async def _run(self, work, *given):
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    async def _ready(self):
        if self._making is None:
            self._making = asyncio.create_task(self._make())
        try:
            return await self._making
        except BaseException:
            self._making = None
            raise

    async def _make(self):
        client = await self._run(self._connect)
        if not await self._run(client.bucket_exists, self._bucket):
            await self._run(client.make_bucket, self._bucket)
        return client

    def _put(self, client, name, data):
        client.put_object(self._bucket, name, io.BytesIO(data), len(data))

    def _get(self, client, name):
        answer = client.get_object(self._bucket, name)
        try:
            return answer.read()
        finally:
            answer.close()
            answer.release_conn()
