"""What is left is deleted by a callback, when the task has ended."""

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
        self.path, self.temp = folder / name, folder / f".{uuid.uuid4().hex}"
        self.held, self.size, self.digest, self.file = bytearray(), 0, hashlib.sha256(), None

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


async def hop(work):
    job = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        raise


async def save_clip(chunks, folder, name):
    clip = Clip(folder, name)
    try:
        async for chunk in chunks:
            clip.held += chunk
            if len(clip.held) >= 2**19:
                await hop(clip.write)
        return await hop(clip.finish)
    except BaseException:
        asyncio.current_task().add_done_callback(lambda _: clip.discard())
        raise
