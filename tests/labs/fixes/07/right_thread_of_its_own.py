"""One thread saves the whole clip; pieces come by a queue that holds two."""

import asyncio
import hashlib
import os
import queue
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

PIECE = 256 * 1024


@dataclass(frozen=True)
class Saved:
    path: Path
    size: int
    sha256: str


class Stopped(Exception):
    pass


def save(pieces, taken, folder, name):
    size, digest = 0, hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        try:
            while (piece := pieces.get()) is not None:
                if piece is Stopped:
                    raise Stopped
                file.write(piece)
                digest.update(piece)
                size += len(piece)
                taken()
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, folder / name)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return Saved(folder / name, size, digest.hexdigest())


async def save_clip(chunks, folder, name):
    loop, pieces, room = asyncio.get_running_loop(), queue.SimpleQueue(), asyncio.Semaphore(2)
    over = loop.create_future()

    def taken():
        loop.call_soon_threadsafe(room.release)

    def work():
        try:
            result = save(pieces, taken, folder, name)
        except BaseException as error:
            loop.call_soon_threadsafe(end, over.set_exception, error)
        else:
            loop.call_soon_threadsafe(end, over.set_result, result)

    def end(tell, what):
        tell(what)
        room.release()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        held = bytearray()
        async for chunk in chunks:
            held += chunk
            if len(held) >= PIECE:
                await room.acquire()
                if over.done():
                    break
                pieces.put(bytes(held))
                held.clear()
        pieces.put(bytes(held))
        pieces.put(None)
        return await asyncio.shield(over)
    except BaseException:
        pieces.put(Stopped)
        await asyncio.wait([over])
        over.exception()
        raise
