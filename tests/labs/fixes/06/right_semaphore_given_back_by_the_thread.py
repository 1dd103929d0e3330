"""A semaphore decides who may begin; the thread gives the place back, whatever became of the caller."""

import asyncio
import functools
import io
import threading
from concurrent.futures import ThreadPoolExecutor


class Storage:
    def __init__(self, connect, bucket, *, size=4):
        self._connect, self._bucket = connect, bucket
        self._threads = ThreadPoolExecutor(size)
        self._size, self._places = size, asyncio.Semaphore(size)
        self._client, self._making = None, threading.RLock()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for _ in range(self._size):  # behind whoever waits for a place
            await self._places.acquire()
        await asyncio.to_thread(self._threads.shutdown, wait=True)

    async def _hop(self, function):
        loop = asyncio.get_running_loop()
        await self._places.acquire()
        work = self._threads.submit(function)
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._places.release))
        return await asyncio.wrap_future(work)

    def _sdk(self):
        with self._making:
            if self._client is None:
                client = self._connect()
                if client.bucket_exists(bucket_name=self._bucket) is False:
                    client.make_bucket(bucket_name=self._bucket)
                self._client = client
        return self._client

    async def put(self, name, data):
        await self._hop(functools.partial(self._send, name, data))

    async def get(self, name):
        return await self._hop(functools.partial(self._load, name))

    def _send(self, name, data):
        self._sdk().put_object(
            bucket_name=self._bucket, object_name=name, data=io.BytesIO(data), length=len(data)
        )

    def _load(self, name):
        with self._sdk().get_object(bucket_name=self._bucket, object_name=name) as answer:
            return answer.read()
