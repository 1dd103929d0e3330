"""After a cancel, a new executor takes over, for the old one may hang."""

import asyncio
import io
import threading
from concurrent.futures import ThreadPoolExecutor


class Storage:
    def __init__(self, connect, bucket, *, size=4):
        self._connect, self._bucket = connect, bucket
        self._size, self._pools = size, [ThreadPoolExecutor(size)]
        self._client, self._making = None, threading.Lock()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for pool in self._pools:
            await asyncio.to_thread(pool.shutdown)

    async def put(self, name, data):
        await self._run(self._put, name, data)

    async def get(self, name):
        return await self._run(self._get, name)

    async def _run(self, work, *given):
        try:
            pool = self._pools[-1]
            return await asyncio.get_running_loop().run_in_executor(pool, work, *given)
        except asyncio.CancelledError:
            if pool is self._pools[-1]:
                self._pools.append(ThreadPoolExecutor(self._size))
            raise

    def _ready(self):
        with self._making:
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
