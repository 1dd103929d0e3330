"""It waits for the threads, and takes out of the queue what had not begun."""

import asyncio
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from minio import Minio

T = TypeVar("T")


class Storage:
    """Files in a bucket, on `size` threads; `connect()` makes a client, and waits for that."""

    def __init__(self, connect: Callable[[], Minio], bucket: str, *, size: int = 4) -> None:
        self._connect, self._bucket = connect, bucket
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="storage")
        self._client: Minio | None = None
        self._making = threading.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # shutdown waits for the threads, which the loop must not.
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    async def put(self, name: str, data: bytes) -> None:
        """Store these bytes under this name."""
        await self._run(lambda client: self._put(client, name, data))

    async def get(self, name: str) -> bytes:
        """Return the bytes under this name."""
        return await self._run(lambda client: self._get(client, name))

    async def _run(self, work: Callable[[Minio], T]) -> T:
        """Do the work on a thread of our own; a cancelled call that has not begun leaves the queue."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: work(self._ready())
        )

    def _ready(self) -> Minio:
        """Return the client, once there is a bucket; runs on a thread."""
        with self._making:
            if self._client is None:
                client = self._connect()
                if not client.bucket_exists(self._bucket):
                    client.make_bucket(self._bucket)
                self._client = client
            return self._client

    def _put(self, client: Minio, name: str, data: bytes) -> None:
        client.put_object(self._bucket, name, io.BytesIO(data), len(data))

    def _get(self, client: Minio, name: str) -> bytes:
        answer = client.get_object(self._bucket, name)
        try:
            return answer.read()
        finally:
            answer.close()
            answer.release_conn()
