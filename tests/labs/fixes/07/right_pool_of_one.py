"""A pool of one thread for each clip: what is given to it comes in order, the clean-up, too."""

import asyncio
import hashlib
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PIECE = 512 * 1024


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

    def write(self, held):
        if self.file is None:
            self.file = open(self.temp, "wb")
        self.file.write(held)
        self.digest.update(held)
        self.size += len(held)

    def finish(self, held):
        self.write(held)
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
    clip, pool, jobs = Clip(folder, name), ThreadPoolExecutor(1), []

    def in_turn(work, *args):
        if any(job.done() and job.exception() for job in jobs):
            return None
        return work(*args)

    def on_thread(work, *args):
        jobs.append(asyncio.get_running_loop().run_in_executor(pool, in_turn, work, *args))

    try:
        async for chunk in chunks:
            clip.held += chunk
            if len(clip.held) >= PIECE:
                on_thread(clip.write, bytes(clip.held))
                clip.held.clear()
                while len([job for job in jobs if not job.done()]) > 0:
                    await asyncio.wait([job for job in jobs if not job.done()], return_when=asyncio.FIRST_COMPLETED)
        on_thread(clip.finish, bytes(clip.held))
        return (await asyncio.gather(*map(asyncio.shield, jobs)))[-1]
    except BaseException:
        jobs.append(asyncio.get_running_loop().run_in_executor(pool, clip.discard))
        while pending := [job for job in jobs if not job.done()]:
            await asyncio.wait(pending)
        await asyncio.gather(*jobs, return_exceptions=True)
        raise
    finally:
        pool.shutdown(wait=False)
