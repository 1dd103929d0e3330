"""Lab 06: the upload that made every other request slow.

`Storage` keeps files in S3 by the SDK of MinIO, which is synchronous. While it stores one file, nothing
else runs: no other upload, no health check. Fix that, and keep the SDK.

What `Storage(connect, bucket, size=...)` must do when you are done:

1. `await put(name, data)` returns once the bytes are stored, `await get(name)` returns them. An error of
   `connect` or of the SDK reaches the caller as it is.
2. The event loop never waits: not for `connect()`, a call of the SDK or the bytes of an answer, and not
   while the storage closes.
3. All of these run on threads of its own, at most `size` of them, which are used again. All of these
   threads are at work while there is work for them. `asyncio.to_thread` stays free for others.
4. The first call connects, and makes the bucket where there is none: once, however many calls come first
   together. After a failure, the next call tries again.
5. A cancelled call ends at once with CancelledError, and disturbs no other. What a thread has begun goes
   on, and its place is free when the thread is done; what had not begun is not sent any more.
6. When `async with` ends, no call of the SDK is under way, also none whose caller was cancelled, and no
   thread and no task is left. Calls that are under way then are waited for.

Keep these names and signatures: `Storage`, `put`, `get`. The rest is yours to change.

How it is judged: `loopclinic check 06`, or `loopclinic watch 06` for a verdict on every save. The S3
server is real, and far away: a round trip takes 100 to 600 ms. `connect()` takes 100 ms and returns a
`minio.Minio`, of which each call is noted, with its thread. While calls wait for the server, the loop
may be blocked for 30 % of the time. A cancelled call has 200 ms to end. After `async with` ends, its
threads have 200 ms to end.
"""

import io
from collections.abc import Callable
from typing import Self

from minio import Minio


class Storage:
    """Files in a bucket; `connect()` makes a client, and waits for that."""

    def __init__(self, connect: Callable[[], Minio], bucket: str, *, size: int = 4) -> None:
        self._connect, self._bucket, self._size = connect, bucket, size
        self._client: Minio | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def put(self, name: str, data: bytes) -> None:
        """Store these bytes under this name."""
        client = await self._ready()
        client.put_object(self._bucket, name, io.BytesIO(data), len(data))

    async def get(self, name: str) -> bytes:
        """Return the bytes under this name."""
        client = await self._ready()
        answer = client.get_object(self._bucket, name)
        try:
            return answer.read()
        finally:
            answer.close()
            answer.release_conn()

    async def _ready(self) -> Minio:
        """Return the client, once there is a bucket."""
        if self._client is None:
            client = self._connect()
            if not client.bucket_exists(self._bucket):
                client.make_bucket(self._bucket)
            self._client = client
        return self._client
