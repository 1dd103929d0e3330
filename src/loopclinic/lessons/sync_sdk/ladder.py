"""Six ways to store a file by a synchronous SDK ("rungs"), from the loop's own thread to an async client.

Each is `await rung(s3, name, data)`, at a `Service` of `story.py`.
"""

import asyncio
import io
from functools import partial
from typing import TYPE_CHECKING

from anyio import to_thread

if TYPE_CHECKING:
    from loopclinic.lessons.sync_sdk.story import Service

COSTS = {
    "on_the_loop": "nothing else runs meanwhile",
    "in_thread": "the few threads that everybody shares",
    "def_endpoint": "forty threads that all such endpoints share",
    "none_passed": "an executor that has nothing to do",
    "own_threads": "a thread for each call under way, sized on purpose",
    "async_client": "another library, if there is a good one; no threads at all",
}
"""What each rung costs, in words."""


async def on_the_loop(s3: "Service", name: str, data: bytes) -> None:
    """Call the SDK on the loop's thread: the anti-pattern."""
    # loopclinic: ignore[blocking-sdk] the anti-pattern
    s3.client.put_object(s3.bucket, name, io.BytesIO(data), len(data))


async def in_thread(s3: "Service", name: str, data: bytes) -> None:
    """Call it by to_thread, on the default executor: the cure of the team."""
    await asyncio.to_thread(s3.client.put_object, s3.bucket, name, io.BytesIO(data), len(data))


async def def_endpoint(s3: "Service", name: str, data: bytes) -> None:
    """Call it as FastAPI and Starlette call a `def` endpoint: on one of the 40 threads of anyio."""
    put = partial(s3.client.put_object, s3.bucket, name, io.BytesIO(data), len(data))
    await to_thread.run_sync(put)


async def none_passed(s3: "Service", name: str, data: bytes) -> None:
    """Pass None instead of the executor that was made for this."""
    put = partial(s3.client.put_object, s3.bucket, name, io.BytesIO(data), len(data))
    await asyncio.get_running_loop().run_in_executor(None, put)


async def own_threads(s3: "Service", name: str, data: bytes) -> None:
    """Call it on an executor of its own."""
    put = partial(s3.client.put_object, s3.bucket, name, io.BytesIO(data), len(data))
    await asyncio.get_running_loop().run_in_executor(s3.threads, put)


async def async_client(s3: "Service", name: str, data: bytes) -> None:
    """Await the same call of an async client, with as many at once as there would be threads."""
    async with s3.places:
        await s3.async_client.put_object(s3.bucket, name, io.BytesIO(data), len(data))
