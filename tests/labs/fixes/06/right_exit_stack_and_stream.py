"""An AsyncExitStack that ends the threads, a client made by the first future, answers read as a stream."""

import asyncio
import io
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, closing


class Storage:
    def __init__(self, connect, bucket, *, size=4):
        self._connect, self._bucket, self._size = connect, bucket, size
        self._guard, self._made, self._stack = threading.Lock(), None, AsyncExitStack()

    async def __aenter__(self):
        self._pool = ThreadPoolExecutor(self._size)
        self._stack.push_async_callback(asyncio.to_thread, self._pool.shutdown)
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    def _client(self):
        with self._guard:
            made, mine = self._made, self._made is None
            if mine:
                made = self._made = Future()
        if mine:
            try:
                client = self._connect()
                if not client.bucket_exists(self._bucket):
                    client.make_bucket(self._bucket)
                made.set_result(client)
            except BaseException as error:
                self._made = None
                made.set_exception(error)
        return made.result()

    async def put(self, name, data):
        def work():
            self._client().put_object(self._bucket, name, io.BytesIO(data), len(data))

        await asyncio.wrap_future(self._pool.submit(work))

    async def get(self, name):
        def work():
            answer = self._client().get_object(self._bucket, name)
            with closing(answer):
                return b"".join(answer.stream(16 * 1024))

        return await asyncio.wrap_future(self._pool.submit(work))
