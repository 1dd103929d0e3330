"""Experiments of notebook 07: what file operations cost, a read that waits, thread hops, interrupted saves, a benchmark."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from random import Random
from statistics import median
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

import aiofiles

from loopclinic.drawing.tables import Drawing, code, span, table
from loopclinic.lessons.file_io import ladder
from loopclinic.lessons.file_io.disk import disk_in
from loopclinic.lessons.file_io.saves import FAULTS, Save, cut_everywhere
from loopclinic.lessons.story.other_tools import debug_run, linter, opinions, scanned
from loopclinic.lessons.story.over_time import watched
from loopclinic.lessons.story.race import Column, Race, Result
from loopclinic.load.variant import name_of
from loopclinic.probe import Probe

_MB = 1_000_000
_HARMLESS = 0.001
"""Seconds that an operation may keep the loop, so that nobody notices."""


def _operations(folder: Path) -> dict[str, tuple[Callable[[], object], int]]:
    """Return ten common operations by name, and how often each is measured."""
    big, small, moved = (folder / name for name in ("big", "small", "moved"))
    whole, names = os.urandom(10 * _MB), folder / "names"
    big.write_bytes(whole)
    small.write_bytes(whole[:4096])
    names.mkdir()
    for number in range(100):
        (names / str(number)).touch()

    def write(sync: bool) -> None:
        with big.open("wb") as file:
            file.write(whole)
            if sync:
                os.fsync(file.fileno())

    def rename() -> None:
        small.rename(moved)
        moved.rename(small)

    return {
        "does it exist?": (small.exists, 500),
        "size and times": (small.stat, 500),
        "open and close": (lambda: small.open("rb").close(), 500),
        "rename, and back": (rename, 500),
        "read 4 KB": (small.read_bytes, 500),
        "write 4 KB": (lambda: small.write_bytes(whole[:4096]), 500),
        "list 100 names": (lambda: [*names.iterdir()], 500),
        "read 10 MB": (big.read_bytes, 20),
        "write 10 MB": (lambda: write(sync=False), 20),
        "write 10 MB and sync": (lambda: write(sync=True), 10),
    }


def _fine(seconds: float) -> str:
    return f"{1e6 * seconds:.0f} us" if seconds < _HARMLESS else span(seconds)


async def operations(folder: Path | None = None) -> Drawing:
    """Measure ten operations on this machine's disk, here and by a hop to a thread; three seconds."""
    with TemporaryDirectory(dir=folder) as room:
        rows, slower, stalls = [], 0, 0
        for name, (operation, times) in _operations(Path(room)).items():
            here, hops = list[float](), list[float]()
            for _ in range(times):
                began = time.perf_counter()
                operation()
                here.append((again := time.perf_counter()) - began)
                await asyncio.to_thread(operation)
                hops.append(time.perf_counter() - again)
            usual, hop = median(here), median(hops)
            worst = sorted(here)[ceil(0.99 * len(here)) - 1]
            slower += hop > 1.25 * usual
            stalls += worst > _HARMLESS
            rows.append([name, *map(_fine, (usual, worst, hop)), f"{hop / usual:.1f}"])
    heads = ["Operation", "On the loop, median", "p99", "By a hop, median", "Times as long"]
    said = f"{slower} of {len(rows)} are slower by a hop; {stalls} hold the loop for more than {span(_HARMLESS)} (p99)."
    return table(heads, rows, sentence=said)


async def line_by_line(lines: int = 3000) -> tuple[float, Drawing]:
    """Write a log line by line, here and with aiofiles; return how many times as long that takes."""
    line = "a line of a log, about as long as they are in a service of one's own, with a number\n"
    with TemporaryDirectory() as room:
        began = time.perf_counter()
        with (Path(room) / "here").open("w") as file:
            for _ in range(lines):
                file.write(line)
        here, began = time.perf_counter() - began, time.perf_counter()
        async with aiofiles.open(Path(room) / "hops", "w") as hops:
            for _ in range(lines):
                await hops.write(line)
        there = time.perf_counter() - began
    each = f"{1e6 * there / lines:.0f} us a line instead of {1e6 * here / lines:.1f} us"
    return there / here, Drawing.note(f"{lines:,} lines: {span(there)} with aiofiles. {each}.")


@contextmanager
def slow_file(seconds: float) -> Iterator[Path]:
    """Make a file whose first byte comes after so many seconds, as on a mount that hangs (a FIFO)."""
    with TemporaryDirectory() as room:
        path = Path(room) / "clip.wav"
        os.mkfifo(path)

        def write() -> None:
            descriptor = os.open(path, os.O_RDWR)  # does not wait for a reader
            time.sleep(seconds)
            os.write(descriptor, b"RIFF")
            os.close(descriptor)

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        yield path


async def clip(megabytes: float, chunk: int) -> AsyncIterator[bytes]:
    """Yield a clip as a client sends it, which never lets the others wait."""
    data = memoryview(os.urandom(chunk))
    for _ in range(int(megabytes * _MB / chunk)):
        await asyncio.sleep(0)
        yield bytes(data)


async def measure(
    way: Save, *, clients: int = 20, megabytes: float = 10, chunk: int = 64_000
) -> Mapping[str, Any]:
    """Save a clip for each client at once; return lag of the loop, rate, memory, hops and files."""
    loop, hops = asyncio.get_running_loop(), list[None]()
    hand = loop.run_in_executor

    def handed(*args: Any) -> Any:
        hops.append(None)
        return hand(*args)

    async def save_all() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(_saved(way, clip(megabytes, chunk), folder, f"{number}.wav"))

    with TemporaryDirectory() as room, Probe() as probe:
        folder, mark = Path(room), probe.snapshot()
        loop.run_in_executor = handed  # type: ignore[method-assign, assignment]
        try:
            found = await watched(save_all(), every=0.02)
        finally:
            del loop.run_in_executor
        lag = probe.snapshot().since(mark).lag
        files = len(await asyncio.to_thread(os.listdir, folder))
    figures = {"lag": lag.p99, "longest": lag.max, "rate": clients * megabytes / found.seconds}
    return {**figures, "memory": found.memory, "hops": len(hops), "files": files}


async def _saved(way: Save, chunks: AsyncIterator[bytes], folder: Path, name: str) -> None:
    await way(chunks, folder, name)


def temporary_file(folder: Path) -> None:
    """Write to a temporary file; blocks."""
    with NamedTemporaryFile(dir=folder) as file:
        file.write(b"RIFF")


async def left_by(*ways: Save, seed: int = 1) -> Drawing:
    """Cut saves short at each point that a whole one comes to, and count what is left."""
    rows = []
    await asyncio.to_thread(__import__, "unittest.mock")  # disk.py needs it: no stall of ours
    for way in ways:
        with TemporaryDirectory() as room, disk_in(Path(room) / "clips") as disk:
            tries, _ = await cut_everywhere(way, disk, Random(seed))  # noqa: S311 - replayable
        kinds = [sum(map(bool, map(wrong, tries))) for wrong, *_ in FAULTS[2:]]
        rows.append([code(name_of(way)), f"{len(tries)}", *map(str, kinds)])
    heads = ["Way", "Saves cut short", "Thread went on", "Half a clip", "Left behind", "Left open"]
    return table(heads, rows)


async def saving() -> dict[str, Any]:
    """Save clips by the anti-pattern, in a process of its own."""
    return dict(await measure(ladder.blocking, clients=4))


async def diagnose(function: Callable[..., Any]) -> Drawing:
    """Ask each tool about `function`, a coroutine function of a cell; about three seconds."""
    found, linted, scanner = await asyncio.gather(
        debug_run(saving, dump_after=0.2),
        linter(function, "what it has a rule for", "the rest: it goes by names"),
        scanned(function, "calls that block", "how long it takes where it will run"),
    )
    return opinions(
        found.debug_mode("a sync that takes 100 ms and more", "a hundred writes of 1 ms"),
        found.cpu_graph("that somebody waits"),
        linted,
        scanner,
    )


def _sentence(found: Result) -> str:
    first, last = found.runners[0], found.runners[-1]
    share = last.typical("lag") / first.typical("lag")
    memory = max(found.runners, key=lambda one: one.typical("memory"))
    return (
        f"With {last.name} the loop is late by {share:.0%} of what it is with {first.name} (p99). "
        f"{memory.name} holds {memory.typical('memory'):.0f} MB, {last.name} {last.typical('memory'):.0f} MB."
    )


_RACE = Race(
    measure,
    columns=(
        Column("Loop late by (p99)", "lag", span, spread=True),
        Column("at most", "longest", span, most=True),
        Column("MB/s", "rate", spread=True),
        Column("Memory", "memory", "{:.0f} MB".format, most=True),
        Column("Hops", "hops", "{:,.0f}".format),
    ),
    costs=ladder.COSTS,
    good=lambda one: one.typical("longest") < 0.1,
    sentence=_sentence,
)


def race(*ways: Save, rounds: int = 3, progress: bool = True, **given: Any) -> Result:
    """Let each way save 20 clips of 10 MB at once, in a process of its own, in turns."""
    return _RACE(*ways, rounds=rounds, progress=progress, **given)
