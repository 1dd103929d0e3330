"""The figures of lesson 07: what file operations, hops and whole files cost on this machine.

    python benchmarks/file_io.py [--rounds 10] [--folder DIR]

Prints medians and spread of interleaved rounds, then what is left. About two minutes; the disk is that
of DIR, or of the folder for temporary files.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiofiles.tempfile
import psutil
from claims import claim

from loopclinic.import_path import imported
from loopclinic.lessons.file_io import ladder, story

ROOT = Path(__file__).parents[1]


async def as_shipped(chunks: AsyncIterator[bytes], folder: Path, name: str) -> None:
    """Save a clip as the lab does that ships: on the loop."""
    lab = sys.modules.get("shipped") or imported(ROOT / "labs/07_file_io.py", "shipped")
    await lab.save_clip(chunks, folder, name)


async def by_aiofiles(_: AsyncIterator[bytes], folder: Path, name: str) -> None:
    """Make a temporary file as aiofiles does."""
    del name
    async with aiofiles.tempfile.NamedTemporaryFile(dir=folder) as file:
        await file.write(b"RIFF")


async def one_hop(_: AsyncIterator[bytes], folder: Path, name: str) -> None:
    """Make a temporary file in a single hop."""
    del name
    await asyncio.to_thread(story.temporary_file, folder)


async def solution(chunks: AsyncIterator[bytes], folder: Path, name: str) -> None:
    """Save a clip as the solution does."""
    lab = sys.modules.get("solved") or imported(ROOT / "solutions/07_file_io.py", "solved")
    await lab.save_clip(chunks, folder, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as room:
        tempfile.tempdir = os.environ["TMPDIR"] = room
        claim(
            '"all file I/O uses async methods", as a rule',
            "A hop to a thread costs more than most operations; those that sync or are long are worth one.",
        )
        print(asyncio.run(story.operations()))

        claim("aiofiles prevents blocking", "It does, at the price of a hop for each call.")
        print(asyncio.run(story.line_by_line(20_000))[1])

        claim(
            'NamedTemporaryFile has "no async equivalent"',
            "Refuted: aiofiles has one. It costs several hops where one function on a thread costs one.",
        )
        for way in (by_aiofiles, one_hop):
            hops = asyncio.run(story.measure(way, clients=1))["hops"]
            print(f"{way.__name__}: {hops:.0f} hops")

        print("\n20 clients send 10 MB each at once")
        found = story.race(
            *(as_shipped, ladder.blocking, ladder.hop_a_chunk, ladder.hop_a_file),
            *(ladder.pieces, solution),
            rounds=args.rounds,
        )
        print(found)
        for other in ("as_shipped", "blocking"):
            shares = sorted(found.times("lag", "solution", other))
            print(f"Lag p99 of the solution: {shares[len(shares) // 2]:.2f} x that of {other}.")

        print("\nSaves cancelled and failed at every point")
        print(asyncio.run(story.left_by(ladder.blocking, ladder.hop_a_chunk, ladder.pieces)))

        me = psutil.Process()
        files, processes = len([*Path(room).iterdir()]), len(me.children(recursive=True))
        ports = len(me.net_connections())
        print(f"\nLeft behind: {files} files, {processes} processes, {ports} ports.")


if __name__ == "__main__":
    main()
