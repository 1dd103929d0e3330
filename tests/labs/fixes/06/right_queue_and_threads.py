"""Own threads on a queue of futures; a cancelled one is passed over."""

import asyncio
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from minio import Minio


import queue


class Storage:
    """`size` threads on one queue; a call is (future, work); a cancelled future is passed over."""

    def __init__(self, connect: Callable[[], Minio], bucket: str, *, size: int = 4) -> None:
        self._connect, self._bucket, self._size = connect, bucket, size
        self._jobs: queue.Queue = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._guard, self._client = threading.Lock(), None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(self._size)]
        for one in self._threads:
            one.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for _ in self._threads:
            self._jobs.put(None)
        await asyncio.gather(*(asyncio.to_thread(one.join) for one in self._threads))

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, work = job
            if future.cancelled():
                continue
            try:
                with self._guard:
                    if self._client is None:
                        client = self._connect()
                        if not client.bucket_exists(self._bucket):
                            client.make_bucket(self._bucket)
                        self._client = client
                value, error = work(self._client), None
            except Exception as caught:
                value, error = None, caught
            self._loop.call_soon_threadsafe(self._tell, future, value, error)

    @staticmethod
    def _tell(future, value, error) -> None:
        if not future.done():
            future.set_exception(error) if error else future.set_result(value)

    async def _ask(self, work):
        future = self._loop.create_future()
        self._jobs.put((future, work))
        return await future

    async def put(self, name: str, data: bytes) -> None:
        await self._ask(lambda client: client.put_object(self._bucket, name, io.BytesIO(data), len(data)))

    async def get(self, name: str) -> bytes:
        return await self._ask(lambda client: client.get_object(self._bucket, name).data)
