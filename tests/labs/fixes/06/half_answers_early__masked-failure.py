"""put returns when there is a client, and a thread sends the bytes later."""

import asyncio
import io
import threading
from concurrent.futures import ThreadPoolExecutor


class Storage:
    def __init__(self, connect, bucket, *, size=4):
        self._connect, self._bucket = connect, bucket
        self._threads, self._lock, self._client = ThreadPoolExecutor(size), threading.Lock(), None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await asyncio.to_thread(self._threads.shutdown)

    def _ready(self):
        with self._lock:
            if self._client is None:
                client = self._connect()
                if not client.bucket_exists(self._bucket):
                    client.make_bucket(self._bucket)
                self._client = client
            return self._client

    def _put(self, name, data):
        self._ready().put_object(self._bucket, name, io.BytesIO(data), len(data))

    def _get(self, name):
        answer = self._ready().get_object(self._bucket, name)
        try:
            return answer.read()
        finally:
            answer.close()
            answer.release_conn()

    async def _run(self, work, *given):
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    async def put(self, name, data):
        await self._run(self._ready)
        self._threads.submit(self._put, name, data)

    async def get(self, name):
        return await self._run(self._get, name)
