"""One thread saves the whole clip, and asks the loop for each chunk."""

import asyncio
import hashlib
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Saved:
    path: Path
    size: int
    sha256: str


class Clip:
    def __init__(self, folder, name):
        self.path = folder / name
        self.temp = folder / f".{name}.{uuid.uuid4().hex}"
        self.held, self.file = bytearray(), None
        self.size, self.digest = 0, hashlib.sha256()

    def write(self):
        if self.file is None:
            self.file = open(self.temp, "wb")
        self.file.write(self.held)
        self.digest.update(self.held)
        self.size += len(self.held)
        self.held.clear()

    def finish(self):
        self.write()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.temp, self.path)
        return Saved(self.path, self.size, self.digest.hexdigest())

    def discard(self):
        if self.file is not None:
            with suppress(OSError):
                self.file.close()
            self.temp.unlink(missing_ok=True)


async def save_clip(chunks, folder, name):
    clip, loop = Clip(folder, name), asyncio.get_running_loop()
    asked = None

    async def next_chunk():
        return await anext(chunks, None)

    def save():
        nonlocal asked
        try:
            while True:
                asked = asyncio.run_coroutine_threadsafe(next_chunk(), loop)
                chunk = asked.result()
                if chunk is None:
                    return clip.finish()
                clip.held += chunk
                clip.write()
        except BaseException:
            clip.discard()
            raise

    job = asyncio.ensure_future(asyncio.to_thread(save))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        while not job.done():
            if asked is not None:
                asked.cancel()
            await asyncio.wait([job], timeout=0.01)
        raise
