"""to_thread, with a semaphore: never more than `size`, and all of them on threads that everybody shares."""

import asyncio
import io
import threading


class Storage:
    def __init__(self, connect, bucket, *, size=4):
        self._connect, self._bucket = connect, bucket
        self._places, self._hops = asyncio.Semaphore(size), set()
        self._client, self._making = None, threading.Lock()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        if self._hops:
            await asyncio.wait(self._hops)

    async def put(self, name, data):
        await self._run(self._put, name, data)

    async def get(self, name):
        return await self._run(self._get, name)

    async def _run(self, work, *given):
        # The place is given back by the thread, also when the caller is gone.
        await self._places.acquire()
        hop = asyncio.ensure_future(asyncio.to_thread(work, *given))
        self._hops.add(hop)
        hop.add_done_callback(self._done)
        return await asyncio.shield(hop)

    def _done(self, hop):
        self._hops.discard(hop)
        self._places.release()
        hop.cancelled() or hop.exception()

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
