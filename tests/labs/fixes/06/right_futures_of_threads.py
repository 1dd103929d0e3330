"""submit and wrap_future; the bucket is made without asking first, and what is there already is no error."""

import asyncio
import io
import threading
from concurrent.futures import ThreadPoolExecutor

from minio.error import S3Error


class Storage:
    def __init__(self, connect, bucket, *, size=4):
        self.bucket = bucket
        self.pool = ThreadPoolExecutor(max_workers=size)
        self.client = Once(lambda: self.made(connect()))

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        closing = threading.Thread(target=self.pool.shutdown)
        closing.start()
        while closing.is_alive():
            await asyncio.sleep(0.01)

    def made(self, client):
        try:
            client.make_bucket(self.bucket)
        except S3Error as error:
            if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise
        return client

    async def put(self, name, data):
        def work():
            self.client().put_object(self.bucket, name, io.BytesIO(data), len(data))

        await asyncio.wrap_future(self.pool.submit(work))

    async def get(self, name):
        def work():
            answer = self.client().get_object(self.bucket, name)
            try:
                return b"".join(answer.stream())
            finally:
                answer.release_conn()

        return await asyncio.wrap_future(self.pool.submit(work))


class Once:
    def __init__(self, make):
        self.make, self.lock, self.value = make, threading.Lock(), None

    def __call__(self):
        with self.lock:
            if self.value is None:
                self.value = self.make()
            return self.value
