"""A generator does the file's work: threads send it pieces, or close it."""

import asyncio
import hashlib
import os
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Saved:
    """A clip that is stored."""

    path: Path
    size: int
    sha256: str


def writer(folder, name):
    """Runs on threads only: next, send(bytes), close."""
    temporary = folder / (name + "." + uuid.uuid4().hex + "~")
    digest, size, done = hashlib.sha256(), 0, False
    try:
        with open(temporary, "wb") as file:
            while True:
                data = yield
                if data is None:
                    break
                file.write(data)
                digest.update(data)
                size += len(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / name)
        done = True
        yield Saved(folder / name, size, digest.hexdigest())
    finally:
        if not done:
            with suppress(FileNotFoundError):
                os.unlink(temporary)


class Step:
    def __init__(self, generator):
        self.generator = generator

    async def __call__(self, method, *args):
        future = asyncio.ensure_future(asyncio.to_thread(getattr(self.generator, method), *args))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise


async def save_clip(chunks: AsyncIterator[bytes], folder: Path, name: str) -> Saved:
    step, held = Step(writer(folder, name)), bytearray()
    try:
        await step("send", None)
        async for chunk in chunks:
            held.extend(chunk)
            if len(held) > 500_000:
                await step("send", bytes(held))
                held.clear()
        if held:
            await step("send", bytes(held))
        return await step("send", None)
    finally:
        await step("close")
