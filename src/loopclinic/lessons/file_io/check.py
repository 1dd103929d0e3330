"""The check of lab 07: clips on a watched disk, two of one name at once, saves cancelled and failed."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from loopclinic.lessons.core import Budget, Check, Ending, Judged, Kept, Place, Said, Scene
from loopclinic.lessons.core.figures import Figure
from loopclinic.lessons.core.stacks import defined_at
from loopclinic.lessons.core.verdicts import broke, none_of
from loopclinic.lessons.file_io.disk import Disk, Touch, disk_in
from loopclinic.lessons.file_io.saves import (
    CAP,
    FAULTS,
    Source,
    Try,
    cut,
    cut_everywhere,
    others,
    save_of,
)
from loopclinic.units import count

if TYPE_CHECKING:
    from loopclinic.lessons.core.stage import Stage

HOPS = Budget(
    8, "hops, and one for each 256 KB", "A right answer: 1, and one for each 512 KB; aiofiles 6."
)
HELD = Budget(
    1024, "KB", "A right answer holds 512 KB and a chunk, a queue of 64 chunks four times that."
)

_A_HOP = 256 * 1024
_GATE = 0.3
"""Seconds for which saves wait for each other: some lab may let only one of a name go on."""
_SLOW = 0.004


@asynccontextmanager
async def _watched(folder: Path) -> AsyncIterator[Disk]:
    with disk_in(folder) as disk:
        yield disk


class _OnDisk(Scene[Any]):
    """Saves in a folder that is watched."""

    async def disk(self, stage: "Stage") -> Disk:
        """Return the disk that all scenes share, empty."""
        disk = await stage.shared(_watched, stage.folder / "clips")
        disk.empty()
        return disk


def _on_loop(touches: Sequence[Touch], judged: Judged, when: str = "") -> Iterator[Said]:
    """Judge what the loop's thread did to files; at most one reason."""
    if not touches:
        yield Kept(2)
    elif not judged.breaks(2):
        first, total = touches[0], sum(one.times for one in touches)
        code = f" in {first.place.quoted}" if first.place else ""
        said = f"The loop's thread did {count(total, 'file operation')}{when}, the first `{first.function}`{code}."
        step = "Open, write, sync, close, rename and delete in a function that a thread runs."
        more = none_of(total, "operation")
        yield broke(2, said, step, first.place, conflict="blocking-file-io", **more)


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip that was saved, and what that took."""

    words: str
    size: int
    ending: Ending
    unlike: str | None
    hops: int
    held: int
    """The most bytes that were in no file when the next chunk was asked for."""
    early: str
    """How its name appeared before it was whole and synced; empty if it did not."""


class Clips(_OnDisk):
    """Clips of every shape, one after another, some of them under a name that exists."""

    title, promises = "clips of every shape, one after another", (1, 2, 3, 4, 5)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What became of each clip, and what the loop's thread did to files."""

        clips: tuple[Clip, ...]
        on_loop: tuple[Touch, ...]
        place: Place | None
        """The line of `def save_clip`."""

    async def drive(self, lab: ModuleType, stage: "Stage") -> Found:
        stage.probe.stop()  # loopclinic: ignore[blocking-file-io] up to 3.12, it may not read what is profiled
        disk, rng = await self.disk(stage), stage.rng
        small, clips, on_loop = cut(rng, rng.randint(3000, 6000), 400), list[Clip](), list[Touch]()
        for words, chunks, slow in (
            ("an empty clip", [], 0.0),
            ("a small clip with an empty chunk in it", [*small[:3], b"", *small[3:]], 0.0),
            ("a clip in chunks of 4 KB", cut(rng, rng.randint(2_900_000, 3_100_000), 4096), 0.0),
            ("a clip on a slow disk", cut(rng, rng.randint(5_900_000, 6_100_000), 65536), _SLOW),
            ("a clip whose first chunk has 900 KB", [rng.randbytes(900_000), *small], 0.0),
        ):
            name = f"clip {len(clips)}.wav"
            source = Source(disk, chunks)
            disk.begin(name, len(source.whole), slow, b"old" if len(clips) % 2 else None)
            call = save_of(lab.save_clip, disk, source, name)
            ending, hops = await call.settled(CAP), disk.hops
            on_loop += disk.on_loop
            unlike = source.unlike(call.value, name) if ending.returned else None
            size, held = len(source.whole), source.held
            clips.append(Clip(words, size, ending, unlike, hops, held, disk.early))
            if not ending.returned:
                break
        most = max(one.held for one in clips) / 1024
        stage.vital(hops=sum(one.hops for one in clips), held_kb=most)
        return self.Found(tuple(clips), tuple(on_loop), defined_at(lab.save_clip))

    def judge(self, found: Found, judged: Judged) -> Iterator[Said]:
        yield from _on_loop(found.on_loop, judged)
        clips, place = found.clips, found.place
        wrong = next((one for one in clips if one.unlike or not one.ending.returned), None)
        if wrong is not None:
            how = wrong.unlike or f"save_clip {wrong.ending}"
            step = "Write each chunk once, in order; count and hash what you write; return folder / name."
            late = {"timed": wrong.ending.overdue}
            yield broke(1, f"Of {wrong.words}, {how}.", step, wrong.ending.place or place, **late)
            if not wrong.unlike:
                return
        else:
            yield Kept(1)
        most = max(clips, key=lambda one: one.hops - one.size // _A_HOP)
        allowed = HOPS.limit + most.size // _A_HOP
        if most.hops > allowed:
            said = f"To save {most.words}, {most.size:,} bytes, {most.hops} hops to a thread were made."
            step = "Collect 256 KB or more for each hop, and finish a clip in one function."
            more = {"measured": f"{most.hops} hops", "budget": f"{allowed:g} hops"}
            yield broke(3, said, step, place, **more)
        else:
            yield Kept(3)
        held = max(clips, key=lambda one: one.held)
        if held.held > HELD.limit * 1024:
            kilobytes = f"{held.held / 1024:,.0f} KB"
            said = f"Of {held.words}, {kilobytes} were in no file of `folder` when the next chunk was asked for."
            step = "Await the write before you ask for more, and bound what waits by its bytes."
            yield broke(4, said, step, place, measured=kilobytes, budget=str(HELD))
        else:
            yield Kept(4)
        # Of what is no whole clip at the end, promise 1 tells.
        early = [one for one in clips if one.early and not one.unlike]
        if early:
            said = f"{len(early)} of {len(clips)} files could be seen torn: {early[0].words} {early[0].early}."
            step = "Write to a temporary name in the same folder, flush, os.fsync, then os.replace."
            more = none_of(len(early), "file")
            yield broke(5, said, step, place, conflict="torn-file", **more)
        elif wrong is None:
            yield Kept(5)


class Together(_OnDisk):
    """Two saves of one name at once, and beside them one of another name."""

    title, promises = "two saves of one name at once", (6,)

    @dataclass(frozen=True, slots=True)
    class Found:
        """How they ended, what is wrong with the files, and which stayed behind."""

        endings: tuple[Ending, ...]
        unlike: str | None
        left: tuple[str, ...]
        place: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> "Together.Found":
        disk, here, opened = await self.disk(stage), list[None](), asyncio.Event()
        disk.begin()
        names = ("same.wav", "same.wav", "other.wav")

        async def gate() -> None:
            here.append(None)
            if len(here) == len(names):
                opened.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(opened.wait(), _GATE)

        sizes = stage.rng.sample(range(1_800_000, 2_400_000), len(names))
        sources = [Source(disk, cut(stage.rng, size, 100_000), gate) for size in sizes]
        calls = [save_of(lab.save_clip, disk, *pair) for pair in zip(sources, names, strict=True)]
        endings = tuple([await call.settled(CAP) for call in calls])
        unlike = None
        if all(one.returned for one in endings):
            *same, unlike = [
                source.unlike(call.value, name)
                for source, call, name in zip(sources, calls, names, strict=True)
            ]
            # Whichever was renamed last is the file.
            unlike = unlike or (same[0] if all(same) else None)
        return self.Found(endings, unlike, others(disk, *names), defined_at(lab.save_clip))

    def judge(self, found: "Together.Found", judged: Judged) -> Iterator[Said]:
        ending = next((one for one in found.endings if not one.returned), None)
        how = f"one of them {ending}" if ending else found.unlike
        if not how and found.left:
            how = f"{count(len(found.left), 'file')} stayed behind, such as {found.left[0]}"
        if not how:
            # Who writes under that name itself was lucky.
            yield from () if judged.breaks(5) else (Kept(6),)
        elif not judged.breaks(1):
            said = f"Three clips were saved at once, two of them under one name, and {how}."
            step = "Let saves share nothing and refuse none: a temporary name for each, and one os.replace."
            place = (ending and ending.place) or found.place
            late = bool(ending and ending.overdue)
            yield broke(6, said, step, place, conflict="torn-file", timed=late)


class Cut(_OnDisk):
    """Saves that are cancelled, or that fail, at each point that a whole one comes to."""

    title, promises = "saves that are cancelled or fail, at every point", (2, 7)

    @dataclass(frozen=True, slots=True)
    class Found:
        """What each of them left, and what the loop's thread did to files."""

        tries: tuple[Try, ...]
        on_loop: tuple[Touch, ...]
        place: Place | None

    async def drive(self, lab: ModuleType, stage: "Stage") -> "Cut.Found":
        disk = await self.disk(stage)
        tries, on_loop = await cut_everywhere(lab.save_clip, disk, stage.rng)
        stage.vital(tries=len(tries))
        return self.Found(tuple(tries), tuple(on_loop), defined_at(lab.save_clip))

    def judge(self, found: "Cut.Found", judged: Judged) -> Iterator[Said]:
        yield from _on_loop(found.on_loop, judged, " when saves were cancelled or failed")
        tries = found.tries
        for wrong, conflict, what, step in FAULTS:
            bad = [one for one in tries if wrong(one)]
            if not bad:
                continue
            if "{lost}" in what and judged.breaks(1):
                return
            one = bad[0]
            shown = {name: getattr(one, name) for name in ("ending", "due", "lost", "left", "open")}
            said = f"A save {one.words}, and {what.format(**shown)}. So it was in {len(bad)} of {len(tries)} saves."
            more: dict[str, Any] = {**none_of(len(bad), "save"), "timed": one.ending.overdue}
            place = one.ending.place or found.place
            yield broke(7, said, step, place, conflict=conflict, **more)
            return
        if tries:
            yield Kept(7)


def praise(judged: Judged) -> str:
    """Return the sentence of a pass."""
    clips, tries = judged.expect(Clips).clips, len(judged.expect(Cut).tries)
    hops, held = sum(one.hops for one in clips), max(one.held for one in clips) / 1024
    megabytes = sum(one.size for one in clips) / 1e6
    return (
        f"{len(clips)} clips of {megabytes:.1f} MB took {hops} hops, and at most {held:,.0f} KB were in no "
        f"file. {tries} saves were cancelled or failed, each at another point, and left nothing."
    )


CHECK = Check(scenes=(Clips(), Together(), Cut()), praise=praise, leaves_nothing=7)

FIGURES = (Figure("held_kb", "Of a clip it holds at most", "KB in memory", 512.0),)
