"""fput_object and fget_object, with temporary files on the threads."""

import asyncio
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


class Storage:
    def __init__(self, connect, bucket, *, size=4):
        self._connect, self._bucket = connect, bucket
        self._threads, self._lock, self._s3 = ThreadPoolExecutor(size), threading.RLock(), None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    @property
    def s3(self):
        with self._lock:
            if self._s3 is None:
                s3 = self._connect()
                s3.bucket_exists(self._bucket) or s3.make_bucket(self._bucket)
                self._s3 = s3
        return self._s3

    def _put(self, name, data):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "file")
            path.write_bytes(data)
            self.s3.fput_object(self._bucket, name, str(path))

    def _get(self, name):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "file")
            self.s3.fget_object(self._bucket, name, str(path))
            return path.read_bytes()

    async def put(self, name, data):
        await asyncio.get_running_loop().run_in_executor(self._threads, self._put, name, data)

    async def get(self, name):
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._get, name)
