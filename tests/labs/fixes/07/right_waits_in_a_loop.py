"""os.open, os.write, os.fdatasync, and a loop that waits for its thread however often it is cancelled."""

import asyncio
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Saved:
    path: Path
    size: int
    sha256: str


class Clip:
    def __init__(self, folder, name):
        self.folder, self.path = folder, folder / name
        self.fd, self.size, self.hash, self.held = -1, 0, hashlib.sha256(), bytearray()

    def begin(self):
        self.temporary = self.folder / f".{secrets.token_hex(8)}"
        self.fd = os.open(self.temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self):
        if self.fd < 0:
            self.begin()
        view = memoryview(bytes(self.held))
        while view:
            view = view[os.write(self.fd, view) :]
        self.hash.update(self.held)
        self.size += len(self.held)
        self.held.clear()

    def finish(self):
        self.write()
        os.fdatasync(self.fd)
        os.close(self.fd)
        self.fd = -2
        os.rename(self.temporary, self.path)
        return Saved(self.path, self.size, self.hash.hexdigest())

    def undo(self):
        if self.fd >= 0:
            os.close(self.fd)
        if self.fd != -1:
            try:
                os.unlink(self.temporary)
            except FileNotFoundError:
                pass


async def on_thread(work):
    future = asyncio.get_running_loop().run_in_executor(None, work)
    cancelled = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        future.exception()
        raise cancelled
    return future.result()


async def save_clip(chunks, folder, name):
    clip = Clip(folder, name)
    try:
        async for chunk in chunks:
            clip.held.extend(chunk)
            if len(clip.held) >= 400_000:
                await on_thread(clip.write)
        return await on_thread(clip.finish)
    except BaseException:
        await on_thread(clip.undo)
        raise
