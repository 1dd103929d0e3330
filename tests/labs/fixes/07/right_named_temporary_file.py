"""tempfile.NamedTemporaryFile in one writer, whose steps are sent to one thread each."""

import asyncio
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Saved:
    path: Path
    size: int
    sha256: str


def writer(path):
    """Generator: takes pieces, None at the end; returns Saved."""
    digest, size = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".clip-", delete=False) as file:
        try:
            while (piece := (yield)) is not None:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    return Saved(path, size, digest.hexdigest())


async def uncut(function, *args):
    task = asyncio.create_task(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def save_clip(chunks, folder, name):
    steps, begun, buffer = writer(Path(folder) / name), False, []

    def send(piece, last=False):
        nonlocal begun
        if not begun:
            begun = True
            next(steps)
        try:
            if piece:
                steps.send(piece)
            if last:
                steps.send(None)
        except StopIteration as stop:
            return stop.value

    def drop():
        try:
            steps.close()
        except OSError:
            pass

    try:
        held = 0
        async for chunk in chunks:
            buffer.append(chunk)
            held += len(chunk)
            if held > 300_000:
                await uncut(send, b"".join(buffer))
                buffer, held = [], 0
        return await uncut(send, b"".join(buffer), True)
    except BaseException:
        await uncut(drop)
        raise
