"""Lesson 07: its disk sees every file operation and its thread, its story counts what it shows."""

import asyncio
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random

import pytest

from loopclinic.lessons.file_io import ladder, story
from loopclinic.lessons.file_io.disk import disk_in
from loopclinic.lessons.file_io.saves import Source, cut, save_of


def seen(tmp_path, save, size=1_500_000, chunk=50_000):
    """Return what a disk saw of a save, and how the save ended."""

    async def run():
        with disk_in(tmp_path / "clips") as disk:
            source = Source(disk, cut(Random(1), size, chunk))
            disk.begin("clip.wav", size)
            ending = await save_of(save, disk, source, "clip.wav").settled(5)
            return disk, ending, disk.content("clip.wav") == source.whole

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("save", "on_loop", "hops", "early"),
    [
        (ladder.blocking, {"open", "write", "flush", "fsync", "__exit__"}, 0, "was opened"),
        (ladder.hop_a_file, set(), 1, "was opened"),
        (ladder.pieces, set(), 4, ""),
    ],
)
def test_a_disk_sees_what_each_rung_does(tmp_path, save, on_loop, hops, early):
    disk, ending, whole = seen(tmp_path, save)
    assert ending.returned, ending
    assert whole
    assert {one.function for one in disk.on_loop} - {"fileno"} == on_loop
    assert disk.hops == hops
    assert disk.early.startswith(early)
    assert bool(disk.early) == bool(early)


@pytest.mark.parametrize(
    "call",
    [
        lambda path: path.parent.stat(),
        lambda path: path.exists(),
        lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)),
        lambda path: path.write_bytes(b""),
        lambda path: tempfile.NamedTemporaryFile(dir=path.parent).close(),
        lambda path: [*path.parent.iterdir()],
    ],
)
def test_a_file_operation_on_the_loop_is_seen(tmp_path, call):
    async def save(chunks, folder, name):
        call(folder / name)

    disk, ending, _ = seen(tmp_path, save)
    assert ending.returned, ending
    assert disk.on_loop


def test_what_a_thread_does_is_not_the_loops(tmp_path):
    async def save(chunks, folder, name):
        await asyncio.to_thread((folder / name).write_bytes, b"")

    disk, *_ = seen(tmp_path, save)
    assert disk.on_loop == ()
    assert disk.points.count("its thread began to work") == 1


def test_a_sync_is_seen_that_only_c_code_calls(tmp_path):
    async def save(chunks, folder, name):
        file = await asyncio.to_thread((folder / "temporary").open, "wb")
        async for chunk in chunks:
            await asyncio.to_thread(file.write, chunk)
        await asyncio.to_thread(file.flush)
        await asyncio.to_thread(os.fsync, file.fileno())
        file.close()
        await asyncio.to_thread(os.replace, folder / "temporary", folder / name)

    disk, ending, whole = seen(tmp_path, save)
    assert ending.returned, ending
    assert whole
    assert disk.early == ""


@pytest.mark.parametrize(
    ("synced", "early"), [("folder", "got that name before"), ("temporary", "")]
)
def test_only_the_file_that_is_synced_counts(tmp_path, synced, early):
    async def save(chunks, folder, name):
        content = b"".join([chunk async for chunk in chunks])

        def work():
            temporary = folder / "temporary"
            temporary.write_bytes(content)
            descriptor = os.open(folder if synced == "folder" else temporary, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
            temporary.replace(folder / name)

        await asyncio.to_thread(work)

    disk, ending, whole = seen(tmp_path, save)
    assert ending.returned, ending
    assert whole
    assert disk.early.startswith(early)
    assert bool(disk.early) == bool(early)


def test_a_file_that_comes_from_elsewhere_is_synced_there(tmp_path):
    async def save(chunks, folder, name):
        content = b"".join([chunk async for chunk in chunks])

        def work():
            with (tmp_path / "elsewhere").open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file)
            (tmp_path / "elsewhere").replace(folder / name)

        await asyncio.to_thread(work)

    disk, *_ = seen(tmp_path, save)
    assert disk.early == ""


@pytest.mark.parametrize(
    "later", [lambda work: work(), lambda work: ThreadPoolExecutor(1).submit(work).result()]
)
def test_work_on_files_after_the_end_of_a_save_goes_on(tmp_path, later):
    async def save(chunks, folder, name):
        await asyncio.to_thread((folder / name).write_bytes, b"")
        asyncio.get_running_loop().call_later(0.001, later, (folder / name).unlink)

    async def run():
        with disk_in(tmp_path / "clips") as disk:
            call = save_of(save, disk, Source(disk, []), "clip.wav")
            await call.settled(5)
            before = disk.went_on
            while disk.files():
                await asyncio.sleep(0.001)
            return before, disk.went_on

    assert asyncio.run(run()) == (False, True)


def test_nothing_stays_replaced(tmp_path):
    before = ThreadPoolExecutor.submit, os.fsync, os.fdatasync, sys.getprofile()
    seen(tmp_path, ladder.pieces)
    assert (ThreadPoolExecutor.submit, os.fsync, os.fdatasync, sys.getprofile()) == before


# A save that was cut short leaves files open: that is the point.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_each_rung_leaves_what_the_notebook_says():
    found = str(asyncio.run(story.left_by(ladder.blocking, ladder.hop_a_chunk, ladder.pieces)))
    figures = [[int(one) for one in re.findall(r"(?<= )\d+", line)] for line in found.splitlines()]
    (_, *blocking), (_, went_on, *_), (tries, *pieces) = figures
    assert blocking[1] > 0
    assert went_on > 0
    assert tries > 20
    assert pieces == [0, 0, 0, 0]


def test_a_measurement_counts_hops_and_files():
    measure = partial(story.measure, clients=3, megabytes=1)
    blocking, hops, pieces = (
        asyncio.run(measure(way)) for way in (ladder.blocking, ladder.hop_a_chunk, ladder.pieces)
    )
    assert [one["files"] for one in (blocking, hops, pieces)] == [3, 3, 3]
    assert blocking["hops"] == 0
    assert hops["hops"] == 3 * (15 + 4)
    assert pieces["hops"] == 3 * 3


def test_a_slow_file_waits_and_leaves_nothing():
    with story.slow_file(0.2) as path:
        assert path.read_bytes() == b"RIFF"
    assert not path.parent.exists()
