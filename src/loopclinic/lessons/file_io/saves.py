"""Saves of clips on a watched disk: sources of chunks, and saves cut short at every point they come to."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from loopclinic.lessons.core import Call, Ending
from loopclinic.lessons.file_io.disk import Disk, Touch

Save = Callable[[AsyncIterator[bytes], Path, str], Awaitable[Any]]

CAP = 5.0
"""Seconds after which a save is given up: a right answer takes milliseconds."""
_ENDS = 1.0
"""Seconds for a thread that goes on after its save has ended."""
_TRIES = 40
"""Points at most at which a save is cancelled, and made to fail."""
_FULL = 300_000
"""Bytes that a file has at most where writing more fails."""


class SourceError(Exception):
    """Raised by a source: the client is gone."""


class Source:
    """A clip's chunks, as an asynchronous iterator that notes what is asked for."""

    def __init__(
        self, disk: Disk, chunks: Sequence[bytes], gate: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.chunks, self.whole = chunks, b"".join(chunks)
        self.held = 0
        """The most bytes that were in no file when the next chunk was asked for."""
        self._disk, self._gate = disk, gate

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the chunks."""
        given, many = 0, len(self.chunks)
        for number, chunk in enumerate([*self.chunks, None]):
            self.held = max(self.held, given - self._disk.written())
            self._disk.point("it waited for its source")
            if number % max(1, many // 8) == 0:
                await asyncio.sleep(0)
            if self._gate and number == 3 * many // 4:
                await self._gate()
            if chunk is not None:
                given += len(chunk)
                yield chunk

    def fails(self) -> None:
        """Fail as a source does whose client is gone."""
        raise SourceError

    def unlike(self, saved: Any, name: str) -> str | None:
        """Return how a result and the file of that name differ from the clip, None if they do not."""
        content, path = self._disk.content(name), self._disk.folder / name
        if content is None:
            return "there is no file of that name"
        if content != self.whole:
            if len(content) == len(self.whole):
                return f"the file has {len(content):,} bytes, and other ones than came"
            return f"the file has {len(content):,} bytes where {len(self.whole):,} came"
        digest = hashlib.sha256(content).hexdigest()
        for field, right in {"path": path, "size": len(content), "sha256": digest}.items():
            if (value := getattr(saved, field, None)) != right:
                return f"`{field}` is {value!r} and not {right!r}"
        return None


def cut(rng: Random, size: int, chunk: int) -> list[bytes]:
    """Return so many random bytes in chunks of this length at most."""
    whole, chunks = rng.randbytes(size), []
    while whole:
        length = rng.randint(chunk // 2 + 1, chunk)
        chunks.append(whole[:length])
        whole = whole[length:]
    return chunks


def save_of(save: Save, disk: Disk, source: Source, name: str) -> Call:
    """Begin a save."""
    call = Call(lambda: save(aiter(source), disk.folder, name), "save_clip")
    call.task.add_done_callback(disk.end)
    return call


def others(disk: Disk, *names: str) -> tuple[str, ...]:
    """Return the names of the files that are none of these."""
    return tuple(sorted({Path(one).name for one in disk.files()} - {*names}))


@dataclass(frozen=True, slots=True)
class Try:
    """A save that was cancelled or made to fail, and what it left."""

    words: str
    due: str
    """The name of the error that it has to raise."""
    ending: Ending
    went_on: bool
    """Whether something of it was still at work on files when it had ended."""
    lost: str
    """What is wrong with the file of that name; empty if nothing is."""
    left: tuple[str, ...]
    """Names of other files."""
    open: int
    """Descriptors that were not closed."""


# What is wrong with a try, the gravest first: its conflict, what happened, and what to do.
FAULTS: tuple[tuple[Callable[[Try], Any], str | None, str, str], ...] = (
    (
        lambda one: one.due == "CancelledError" and one.ending.how != "cancelled",
        *("swallowed-cancellation", "save_clip {ending} instead of ending with CancelledError"),
        "Clean up under `except BaseException:` or `finally:`, and raise what came.",
    ),
    (
        lambda one: one.due != "CancelledError" and not one.ending.is_error(one.due),
        *(None, "save_clip {ending} instead of raising that {due}"),
        "Raise what came, and let no error of the clean-up take its place.",
    ),
    (
        lambda one: one.went_on,
        *("dropped-task", "save_clip ended while work on its files went on"),
        "A cancelled await stops no thread: shield the job, wait for it and for the clean-up, then raise.",
    ),
    (
        lambda one: one.lost,
        *("torn-file", "the file of that name {lost}"),
        "Touch the name only by os.replace, when the temporary file is whole and synced.",
    ),
    (
        lambda one: one.left,
        *("torn-file", "{left[0]} stayed behind"),
        "Delete the temporary file under `except BaseException:`, also if it was made by a thread meanwhile.",
    ),
    (
        lambda one: one.open,
        *("unclosed-resource", "{open} of its files stayed open"),
        "Close the file before you delete it, also if it was opened by a thread meanwhile.",
    ),
)


async def cut_everywhere(save: Save, disk: Disk, rng: Random) -> tuple[list[Try], list[Touch]]:
    """Cancel a save at each point that a whole one comes to, and have it fail there.

    Return what each of them left, and what they did to files on the loop's thread.
    """
    tries, on_loop = list[Try](), list[Touch]()
    chunks, plan = cut(rng, 800_000, 130_000), [("OSError", -1, "the disk was full")]
    whole = await _cut_short(save, disk, chunks, ("", -1, ""))
    points = disk.points
    for at in sorted(rng.sample(range(len(points)), min(_TRIES, len(points)))):
        plan.append(("CancelledError", at, points[at]))
        if points[at] != "its thread began to work":
            due = "SourceError" if "source" in points[at] else "OSError"
            plan.append((due, at, points[at]))
    for one in plan if whole.ending.returned else ():
        tries.append(await _cut_short(save, disk, chunks, one))
        on_loop += disk.on_loop
        if tries[-1].ending.overdue:
            break
    return tries, on_loop


async def _cut_short(
    save: Save, disk: Disk, chunks: Sequence[bytes], plan: tuple[str, int, str]
) -> Try:
    """Save a clip, and have it raise this error at this point; -1: where the disk is full."""
    due, at, words = plan
    source, name = Source(disk, chunks), "clip.wav"
    disk.empty()
    old = b"old" if due != "SourceError" else None
    disk.begin(name, old=old)
    files = disk.open_files()
    call = save_of(save, disk, source, name)
    disk.stop_at, disk.act = at, source.fails if due == "SourceError" else disk.fails
    if due == "CancelledError":
        disk.act = lambda: disk.cancels(call.task)
    with disk.full_after(_FULL) if due and at < 0 else nullcontext():
        ending = await call.settled(CAP)
    ends = asyncio.get_running_loop().time() + _ENDS
    await asyncio.sleep(0.01)  # for a task that it has left
    while disk.working and asyncio.get_running_loop().time() < ends:  # noqa: ASYNC110 - sets no event
        await asyncio.sleep(0.01)
    content, lost = disk.content(name), ""
    if content not in {old, source.whole}:
        lost = "is gone" if content is None else f"has {len(content):,} bytes of it"
    words = f"{'was cancelled' if due == 'CancelledError' else 'failed'} when {words}"
    descriptors = len(disk.open_files() - files)
    return Try(words, due, ending, disk.went_on, lost, others(disk, name), descriptors)
