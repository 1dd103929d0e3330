"""It asks on the loop how much room the disk has."""

import asyncio
import hashlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

T = TypeVar("T")

PIECE = 512 * 1024
"""Bytes that are collected before a thread writes them."""


@dataclass(frozen=True)
class Saved:
    """A clip that is stored."""

    path: Path
    size: int
    sha256: str


async def save_clip(chunks: AsyncIterator[bytes], folder: Path, name: str) -> Saved:
    """Store a clip under its name."""
    if shutil.disk_usage(folder).free < 1_000:
        raise OSError('full')
    clip = _Clip(folder / name)
    try:
        async for chunk in chunks:
            clip.held += chunk
            if len(clip.held) >= PIECE:
                await _hop(clip.write)
        return await _hop(clip.finish)
    except BaseException:
        await _hop(clip.discard)
        raise


class _Clip:
    """A clip on its way to the disk. All methods block: call them on a thread, one after another."""

    def __init__(self, path: Path) -> None:
        self.held = bytearray()
        self._path, self._size, self._digest = path, 0, hashlib.sha256()
        # In the same folder, since only within a file system is a rename one step.
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        self._file: IO[bytes] | None = None

    def write(self) -> None:
        """Write what is held to the temporary file, which is made when first needed."""
        if self._file is None:
            self._file = self._temporary.open("xb")
        self._file.write(self.held)
        self._digest.update(self.held)
        self._size += len(self.held)
        self.held.clear()

    def finish(self) -> Saved:
        """Write the rest, sync, and give the file its name."""
        self.write()
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._path)
        return Saved(self._path, self._size, self._digest.hexdigest())

    def discard(self) -> None:
        """Close and delete the temporary file, if it is still there."""
        if self._file is not None:
            with suppress(OSError):  # where the disk is full, closing fails, too
                self._file.close()
            self._temporary.unlink(missing_ok=True)


async def _hop(work: Callable[[], T]) -> T:
    """Do blocking work on a thread; when cancelled, end after the thread has."""
    job = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        raise
