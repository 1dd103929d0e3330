"""Lab 07: the disk is on the loop, too.

A voice assistant stores the clips that it is sent. `chunks` yields bytes as they arrive: a few, or a
megabyte, sometimes none. The file operations below are quick on a good day. On a slow or full disk
they hold up every other user, and a client that hangs up leaves half a clip behind.

What `save_clip` must do when you are done:

1. The file `folder / name` holds all chunks, in order, and `Saved` has that path, the size in bytes and
   the SHA-256 as hexadecimal digits.
2. No file operation runs on the loop's thread: no opening, writing, syncing, closing, renaming or
   deleting, and no check of what is there.
3. A clip costs at most 8 hops to a thread and back, and one more for each 256 KB, however small its
   chunks are.
4. The next chunk is asked for only while at most 1 MB of the clip has yet to be written to a file in
   `folder`: when the disk is slow, the source waits.
5. The name appears only once its file is whole and synced, by os.fsync or os.fdatasync. Until then,
   readers find what was there before.
6. Two saves under one name at the same time both return, and leave one whole file.
7. If it is cancelled, or its source or the disk fails, `save_clip` raises that very exception. By then
   nothing of it is still running, and it leaves no temporary file, no open file and no half clip. What
   had that name before is still there.

Keep these names and signatures: `Saved`, `save_clip`. The rest is yours to change.

How it is judged: `loopclinic check 07`, or `loopclinic watch 07` for a verdict on every save. The check
uses no clock. It counts file operations and their threads, hops, and bytes not yet written. It
then cancels a save at every point it can find, and makes it fail there. If a save is cancelled when its
file is already whole and synced, that file may stay.
"""

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Saved:
    """A clip that is stored."""

    path: Path
    size: int
    sha256: str


async def save_clip(chunks: AsyncIterator[bytes], folder: Path, name: str) -> Saved:
    """Store a clip under its name."""
    path, size, digest = folder / name, 0, hashlib.sha256()
    with path.open("wb") as file:
        async for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return Saved(path, size, digest.hexdigest())
