"""Lab 07: the disk is on the loop, too.

A voice assistant stores the clips that it is sent. `chunks` yields bytes as the network brings them: a
few or a megabyte, sometimes none. The file operations below are quick on a good day. On a slow or
a full disk they stop every other user, and a client that hangs up leaves half a clip behind.

What `save_clip` must do when you are done:

1. The file `folder / name` holds all chunks, in order, and `Saved` has that path, the size in bytes and
   the SHA-256 as hexadecimal digits.
2. No file operation runs on the loop's thread: no opening, writing, syncing, closing, renaming or
   deleting, and no look at what is there.
3. A clip costs at most 8 hops to a thread and back, and one more for each 256 KB, however small its
   chunks are.
4. A chunk is asked for only while at most 1 MB of the clip is not yet in a file in `folder`: when the
   disk is slow, the source waits.
5. The name appears only when its file is whole and synced, by os.fsync or os.fdatasync. Until then,
   readers find what was there before.
6. Two saves of one name at once both return, and leave one whole file.
7. Cancelled, or failed by its source or by the disk, `save_clip` raises just that, and when it has
   ended nothing of it goes on: it leaves no temporary file, no open file and no half clip, and what had
   that name before is still there.

Keep these names and signatures: `Saved`, `save_clip`. The rest is yours to change.

How it is judged: `loopclinic check 07`, or `loopclinic watch 07` for a verdict on every save. The check
counts and uses no clock: file operations and their threads, hops, and bytes that are not written. It
then cancels a save at every point it can find, and has it fail there. If a save is cancelled when its
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
