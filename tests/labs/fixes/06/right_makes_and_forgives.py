"""The bucket is made without a look; whoever has it already is forgiven. Threads of its own that take from a deque."""

import asyncio
import io
import threading
from collections import deque
from concurrent.futures import Future

from minio.error import S3Error


class Storage:
    def __init__(self, connect, bucket, *, size=4):
        self._connect, self._bucket, self._client = connect, bucket, None
        self._jobs, self._change, self._open = deque(), threading.Condition(), True
        self._making = threading.Lock()
        self._threads = [threading.Thread(target=self._work) for _ in range(size)]

    async def __aenter__(self):
        for thread in self._threads:
            thread.start()
        return self

    async def __aexit__(self, *_):
        def end():
            with self._change:
                self._open = False
                self._change.notify_all()
            for thread in self._threads:
                thread.join()

        await asyncio.to_thread(end)

    def _work(self):
        while True:
            with self._change:
                self._change.wait_for(lambda: self._jobs or not self._open)
                if not self._jobs:
                    return
                future, work = self._jobs.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work(self._ready()))
            except BaseException as error:
                future.set_exception(error)

    def _ready(self):
        with self._making:
            if self._client is None:
                client = self._connect()
                try:
                    client.make_bucket(self._bucket)
                except S3Error as error:
                    if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                        raise
                self._client = client
            return self._client

    async def _do(self, work):
        future = Future()
        with self._change:
            self._jobs.append((future, work))
            self._change.notify()
        return await asyncio.wrap_future(future)

    async def put(self, name, data):
        await self._do(
            lambda s3: s3.put_object(self._bucket, name, io.BytesIO(data), len(data)) and None
        )

    async def get(self, name):
        def work(s3):
            answer = s3.get_object(self._bucket, name)
            try:
                return answer.data
            finally:
                answer.close()
                answer.release_conn()

        return await self._do(work)
